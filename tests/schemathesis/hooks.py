"""What schemathesis does not know of the API: newline-delimited JSON, and that one need not wait for long."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def write_line(ctx, value):
    return {"data": json.dumps(value).encode() + b"\n"}


@schemathesis.deserializer("application/x-ndjson")
def read_line(ctx, response):
    lines = response.content.splitlines()
    if len(lines) > 1:
        raise ValueError(f"{len(lines)} outcomes for one task")
    return json.loads(lines[0])


@schemathesis.hook
def before_call(ctx, case, kwargs):
    wait_s = (case.query or {}).get("wait_s")
    if isinstance(wait_s, int) and 1 < wait_s <= 30:
        case.query["wait_s"] = 1
