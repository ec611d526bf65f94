"""Usage: run.py HOST PORT VERSION [CASE...]; VERSION is 3 or 5.

Runs each case against the broker and says `ok CASE` or `FAILED CASE`, with the reason before it. Ends with `N cases, M failed`.
"""

import sys
import traceback

import both_versions
import version_5
from link import Broker


def main():
    host, port, version, *wanted = sys.argv[1:]
    cases = both_versions.CASES + (version_5.CASES if version == "5" else [])
    cases = [case for case in cases if not wanted or case.__name__ in wanted]
    failed = 0
    for case in cases:
        broker = Broker(host, int(port), int(version), case.__name__)
        try:
            case(broker)
            print("ok", case.__name__, flush=True)
        except Exception:
            failed += 1
            print(traceback.format_exc(), f"FAILED {case.__name__}", sep="", flush=True)
        finally:
            broker.close()
    print(f"{len(cases)} cases, {failed} failed", flush=True)
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
