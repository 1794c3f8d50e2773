//! Tests of the spellings that are accepted.

use super::*;

const RAW: [u8; 6] = [4, 0, 2, 0, 0x81, 0xff];

#[test]
fn a_quote_may_be_raw_hexadecimal_or_base64() {
    for spelling in [
        RAW.to_vec(),
        b"0400 0200\n81ff\n".to_vec(),
        b"0x0400020081FF".to_vec(),
        b"BAACAIH/".to_vec(),
        b"BAACAIH_\n".to_vec(),
    ] {
        assert_eq!(
            decode_binary("quote", spelling.clone()).unwrap(),
            RAW,
            "{spelling:?}"
        );
    }
    assert!(decode_binary("quote", b"neither! nor?".to_vec()).is_err());
    assert!(decode_binary("quote", Vec::new()).is_err());
}

#[test]
fn a_time_may_be_written_four_ways() {
    let parse = |text| parse_time(text, || 7);
    assert_eq!(parse("now").unwrap(), 7);
    assert_eq!(parse("1769860800").unwrap(), 1_769_860_800);
    assert_eq!(parse("2026-01-31T12:00:00Z").unwrap(), 1_769_860_800);
    assert_eq!(parse("2026-01-31T13:00:00+01:00").unwrap(), 1_769_860_800);
    assert_eq!(parse("2026-01-31").unwrap(), 1_769_817_600);
    for wrong in [
        "",
        "yesterday",
        "2026-31-01",
        "2026/01/31",
        "-5",
        "1969-12-31T23:59:59Z",
    ] {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
}
