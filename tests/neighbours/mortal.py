"""halfclip as a process that dies: mortal.py FOLDER COMMAND... passes lines on to COMMAND until one has a certain word in it.

"kill-process" kills it once, "kill-worker" the process that started it once, "kill-always" it every time, "wait-for-ever" lets
it say nothing once. FOLDER gets a file start-PID for each process that was started, with the PID of COMMAND in it.
"""

import os
import signal
import subprocess
import sys
import time

folder, command = sys.argv[1], sys.argv[2:]


def first(word):
    """Whether nobody has met this word before."""
    try:
        os.close(os.open(os.path.join(folder, word), os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


child = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)
with open(os.path.join(folder, f"start-{os.getpid()}"), "w") as file:
    file.write(str(child.pid))
for line in sys.stdin.buffer:
    if b"kill-always" in line or b"kill-process" in line and first("kill-process"):
        child.kill()
        os.kill(os.getpid(), signal.SIGKILL)
    if b"kill-worker" in line and first("kill-worker"):
        os.kill(os.getppid(), signal.SIGKILL)
        break
    if b"wait-for-ever" in line and first("wait-for-ever"):
        child.kill()
        time.sleep(1000)
    child.stdin.write(line)
child.stdin.close()
sys.exit(child.wait())
