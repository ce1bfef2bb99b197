"""What joins this library to others: each module behind an extra of its own, and imported by nobody else."""
