"""Counts what a scenario claims; prints each claim and, last, `N passed, M failed`. Used by the Python scenarios."""

import json
import os
import sys
import time

TWIN = json.loads(os.environ["TWIN"])
"""What the twin printed when it started: its addresses and credentials."""

BEGAN = time.monotonic()
passed = 0
failed = 0


def check(claim, true, seen=None):
    """One claim; `seen` is shown when it does not hold."""
    global passed, failed
    if true:
        passed += 1
        print(f"  ok      {time.monotonic() - BEGAN:5.1f} s  {claim}", flush=True)
    else:
        failed += 1
        print(f"  FAILED  {time.monotonic() - BEGAN:5.1f} s  {claim}: {seen!r}", flush=True)


def equal(claim, seen, wanted):
    """The claim that two values are the same."""
    check(claim, seen == wanted, f"{seen!r} instead of {wanted!r}")


def broke(error):
    """The scenario could not go on."""
    check("the scenario runs to its end", False, error)


def end():
    """Prints the sum and leaves; a scenario without claims has not passed."""
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.stdout.flush()
    os._exit(0 if passed and not failed else 1)
