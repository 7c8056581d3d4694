# SPDX-License-Identifier: BSL-1.0
"""usage: serve_and_ask.py PROGRAM: starts `PROGRAM serve ADDRESS`, then `PROGRAM ask ADDRESS`, again only as long as nobody
serves yet, and ends the service by SIGTERM. Passes where asking ended with status 0 and the service was still there."""
import os
import pathlib
import signal
import subprocess
import sys
import time

PATIENCE = 60.0  # seconds


def main() -> int:
    program = sys.argv[1]
    address = f"{pathlib.Path(program).name}-{os.getpid()}"
    service = subprocess.Popen([program, "serve", address])
    try:
        give_up = time.monotonic() + PATIENCE
        while True:
            asked = subprocess.run([program, "ask", address], capture_output=True, text=True, timeout=PATIENCE)
            early = "no service listens" in asked.stderr
            if not early or time.monotonic() > give_up or service.poll() is not None:
                break
            time.sleep(0.05)
        print(asked.stdout + asked.stderr, end="")
        if service.poll() is not None:
            print(f"the service ended by itself with status {service.returncode}")
            return 1
        return asked.returncode
    finally:
        if service.poll() is None:
            service.send_signal(signal.SIGTERM)
            try:
                status = service.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                service.kill()
                status = service.wait()
            if status not in (0, -signal.SIGTERM):
                print(f"the service ended with status {status}")
                sys.exit(1)


sys.exit(main())
