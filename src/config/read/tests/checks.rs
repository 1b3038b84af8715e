//! Tests of errors in checks: each with its place and its words.

use super::errors::{check, in_group};

#[test]
fn wrong_checks() {
    let many = "<check type='tcp'/>".repeat(17);
    let long = format!(
        "<check type='send' expect='{}'/>",
        "a".repeat(16 * 1024 + 1)
    );
    let found = format!("{}...", "a".repeat(64));
    let long_error = format!(
        "2:20: expect is \"{found}\" but must be at most 16384 bytes, with the escapes \\r \\n \\t \
         \\\\ \\0 \\xHH"
    );
    check(
        in_group,
        &[
            ("<check/>", "2:1: <check> needs the attribute type"),
            (
                "<check type='udp'/>",
                "2:8: type is \"udp\" but must be tcp, send, http or agent",
            ),
            (
                "<check type='tcp' fall='0'/>",
                "2:19: fall is \"0\" but must be a whole number from 1 to 1000",
            ),
            (
                "<check type='tcp' interval='0'/>",
                "2:19: interval is \"0\" but must be at least 0.01 seconds",
            ),
            (
                "<check type='tcp' port='0'/>",
                "2:19: port is \"0\" but must be a port from 1 to 65535",
            ),
            (
                "<check type='tcp' ip='10.0.0.1:80'/>",
                "2:19: ip is \"10.0.0.1:80\" but must be an IP address without a port",
            ),
            (
                "<check type='http' status=''/>",
                "2:20: status is \"\" but must be status codes and ranges, such as 200-399 404",
            ),
            (
                "<check type='http' path='a'/>",
                "2:20: path is \"a\" but must be a path that begins with /, in ASCII without blanks",
            ),
            (
                "<check type='tcp' path='/x'/>",
                "2:19: a check of type tcp has no path: it goes with type http",
            ),
            (
                "<check type='http' send='x'/>",
                "2:20: a check of type http has no send: it goes with type send or agent",
            ),
            (
                "<check type='agent'/>",
                "2:1: a check of type agent needs port: where the agent listens",
            ),
            (
                "<check type='send'/>",
                "2:1: a check of type send needs send or expect",
            ),
            (&long, &long_error),
            (&many, "2:305: more than 16 checks in one group"),
        ],
    );
}
