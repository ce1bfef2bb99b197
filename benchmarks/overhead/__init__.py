"""What a client costs: the same loads on every client, each in a process of its own, beside a service of constants.

``server`` answers from constants, ``clients`` holds one file per client, ``loads`` what each of them is made to do,
``report`` the table. ``python -m benchmarks`` runs it all.
"""
