"""What a process of its own comes to, for questions about what is loaded."""

import subprocess
import sys


def modules_after(script: str) -> set[str]:
    """Run the script in a fresh Python and return the names of the modules that are loaded at its end."""
    shown = f"{script}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", shown], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())
