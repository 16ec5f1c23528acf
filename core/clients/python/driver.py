"""What every Python driver shares: one JSON request a line in, one answer a line
out, as core/clients/driver_test.go describes. Each client's own program defines
a function an operation and calls serve with them."""

import base64
import json
import sys
import traceback

PATIENCE = 50.0  # seconds; bounds every wait


def serve(about, ops):
    out, sys.stdout = sys.stdout, sys.stderr  # whatever else would print
    for line in sys.stdin:
        try:
            r = json.loads(line)
            if r["op"] == "hello":
                answer = dict(about, can=about.get("can", []) + [o for o in ops])
            else:
                answer = ops[r["op"]](r) or {}
        except Exception as e:  # a driver answers, whatever happened
            traceback.print_exc()
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), file=out, flush=True)


def unpack(s):
    return None if s is None else base64.b64decode(s)


def pack(b):
    return None if b is None else base64.b64encode(b).decode()


def headers_of(w):
    return [(name, unpack(value)) for name, value in w["headers"]]


def record(key, value, headers, time, offset):
    return {
        "key": pack(key),
        "value": pack(value),
        "headers": [[k, pack(v)] for k, v in headers or []],
        "time": time,
        "offset": offset,
    }
