"""What says that a run must end soon, and how a run that ended so leaves."""

import os
import signal

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # Slurm's warnings: before it kills, and --signal=USR1@120
EXIT_AGAIN = os.EX_TEMPFAIL  # 75: saved; to be queued again
