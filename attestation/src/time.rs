//! Points in time for people. The time itself is always an argument.

/// RFC 5280, section 4.1.2.5: `99991231235959Z` says that no end is meant. The calendar used here ends a day before.
const NO_END_S: u64 = 253_402_300_799;

/// Seconds since the Unix epoch as RFC 3339 in UTC, or as the bare number where no calendar reaches.
#[must_use]
pub fn rfc_3339(time_s: u64) -> String {
    if time_s == NO_END_S {
        return "9999-12-31T23:59:59Z".to_owned();
    }
    i64::try_from(time_s)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| time_s.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_in_utc() {
        assert_eq!(rfc_3339(1_769_860_800), "2026-01-31T12:00:00Z");
        assert_eq!(rfc_3339(NO_END_S), "9999-12-31T23:59:59Z");
        assert_eq!(rfc_3339(u64::MAX), u64::MAX.to_string());
    }
}
