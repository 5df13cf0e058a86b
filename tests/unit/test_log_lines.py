"""The format of log lines"""
import json
import logging
import shlex
import sys

import pytest

from payments_service.logs import LineFormatter, format_address


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("plain", "plain"),
        ("a b", "a b"),
        ('say "a"', 'say "a"'),
        ("a=b", "a=b"),
        ('C:\\a "b"', 'C:\\a "b"'),
        ("two\n lines", "two\\n lines"),
        ("\x1b[31m red", "\\x1b[31m red"),
        (None, ""),
        (7, "7"),
    ],
)
def test_a_logged_value_can_be_read_back_from_its_line(value, read):
    line = LineFormatter("logfmt").format(logging.makeLogRecord({"msg": "saw", "given": value}))
    assert line.isprintable()
    assert dict(pair.split("=", 1) for pair in shlex.split(line))["given"] == read


@pytest.mark.parametrize("log_format", ["json", "logfmt"])
def test_a_stack_trace_is_in_a_json_line_or_below_a_text_line(log_format):
    try:
        raise ValueError("unforeseen")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "levelname": "ERROR", "exc_info": sys.exc_info(), "port": 1})
    text = LineFormatter(log_format).format(record)
    if log_format == "json":
        line = json.loads(text)
        assert {"level": "error", "event": "failed", "port": 1}.items() <= line.items()
        assert line["exception"].endswith("ValueError: unforeseen")
    else:
        line, _, trace = text.partition("\n")
        assert line.endswith("level=error event=failed port=1")
        assert trace.startswith("Traceback")
        assert trace.endswith("ValueError: unforeseen")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_a_mapped_address_is_logged_as_the_ipv4_address(address, shown):
    assert format_address(address) == shown
