//! Tests of the run-time event log's text and digests.

use super::*;

#[test]
fn the_text_is_read_as_it_is_written() {
    let text = "cocoon:config 00ff\nimage.release\ncocoon:closed\n";
    let log: RunTimeLog = text.parse().unwrap();
    assert_eq!(log.to_string(), text);
    let [config, release, closing] = log.events() else {
        panic!("{log:?}")
    };
    assert_eq!(
        (config.name(), config.payload()),
        ("cocoon:config", &[0, 0xff][..])
    );
    assert_eq!(
        (release.name(), release.payload()),
        ("image.release", &[][..])
    );
    assert_eq!(*closing, RunTimeEvent::closing());
    assert_eq!("".parse::<RunTimeLog>(), Ok(RunTimeLog::default()));
}

/// Made with `printf | sha384sum`.
#[test]
fn the_digest_is_the_documented_one() {
    assert_eq!(
        RunTimeEvent::new("cocoon:config", [0, 0xff])
            .unwrap()
            .digest()
            .to_string(),
        "4e3ccd60564e0cd3cb3ffb45e215a85346bd0639d634cbc7834559279e3993fe02de3c72850c56da01ff83eaebbe9741"
    );
    assert_eq!(
        RunTimeEvent::closing().digest().to_string(),
        "13d4741162925fcabc813c00e758d96cc018866894409abdfe32fc25535ce18e8cd4218ea4e47ae1f7f8b2a2ed07b80d"
    );
}

#[test]
fn names_and_payloads_cannot_run_into_each_other() {
    let digest = |name: &str, payload: &[u8]| RunTimeEvent::new(name, payload).unwrap().digest();
    assert_ne!(digest("ab", b"c"), digest("a", b"bc"));
    assert_ne!(digest("a", b""), digest("a", b"\0"));
}

#[test]
fn each_malformed_text_has_its_refusal() {
    let parse = |text: &str| text.parse::<RunTimeLog>().unwrap_err();
    for text in ["a", "a \n", "a AB\n", "a ab\r\n"] {
        let error = parse(text);
        assert!(
            matches!(
                error,
                RunTimeLogError::NotCanonical | RunTimeLogError::Payload(_)
            ),
            "{text:?}: {error}"
        );
    }
    assert_eq!(parse("a"), RunTimeLogError::NotCanonical);
    for text in ["\n", " 00\n", "A\n", "a\tb\n", "\u{e4}\n"] {
        assert_eq!(parse(text), RunTimeLogError::Name, "{text:?}");
    }
    assert!(matches!(parse("a 0\n"), RunTimeLogError::Payload(_)));
    let long = "a".repeat(RUN_TIME_NAME_BYTES_MAX + 1);
    assert_eq!(parse(&format!("{long}\n")), RunTimeLogError::Name);
    let payload = "00".repeat(RUN_TIME_PAYLOAD_BYTES_MAX + 1);
    assert_eq!(
        parse(&format!("a {payload}\n")),
        RunTimeLogError::PayloadTooLong(RUN_TIME_PAYLOAD_BYTES_MAX + 1)
    );
    let many = "a\n".repeat(RUN_TIME_EVENTS_COUNT_MAX + 1);
    assert_eq!(parse(&many), RunTimeLogError::TooManyEvents);
    let longest = "a".repeat(RUN_TIME_LOG_BYTES_MAX + 1);
    assert_eq!(parse(&longest), RunTimeLogError::TooManyEvents);
}
