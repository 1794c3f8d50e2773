//! Each share by itself, at times that the test says.

use super::*;

const LIMITS: UserLimits = UserLimits {
    requests_per_s: 10,
    burst_max: 3,
    in_flight_max: 2,
};

fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn refusal(error: ApiProblem) -> (Option<String>, Option<u64>) {
    let retry_after_s = error.retry_after_s();
    let problem = error.into_problem();
    assert_eq!(problem.status, 429);
    assert_eq!(problem.field.as_deref(), Some("authorization"));
    (problem.limit, retry_after_s)
}

#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let mut bucket = Bucket::default();
    let mut take = |ms| bucket.take(at(ms), LIMITS);
    let left: Vec<_> = (0..3).map(|_| take(1_000).unwrap().left).collect();
    assert_eq!(left, [2, 1, 0]);
    assert_eq!(take(1_000), Err(at(100)));
    // What is refused takes nothing: the wait gets no longer.
    assert_eq!(take(1_050), Err(at(50)));
    let standing = take(1_100).unwrap();
    assert_eq!((standing.left, standing.full_in), (0, at(300)));
    assert_eq!(take(1_199), Err(at(1)));
    // However long nobody asked, it is never more than full.
    let left: Vec<_> = (0..4)
        .map(|_| take(1_000_000).map(|left| left.left))
        .collect();
    assert_eq!(left, [Ok(2), Ok(1), Ok(0), Err(at(100))]);
}

#[test]
fn a_clock_that_stands_still_does_not_open_it() {
    let mut bucket = Bucket::default();
    let taken = (0..100).filter(|_| bucket.take(at(0), LIMITS).is_ok());
    assert_eq!(taken.count(), 3);
}

#[test]
fn one_user_takes_nothing_from_another() {
    let shares = Shares::new(LIMITS);
    for _ in 0..3 {
        shares.admit(&user("alice"), at(0)).unwrap();
    }
    let refused = shares.admit(&user("alice"), at(0)).unwrap_err();
    let limit = Some("requests_per_user_per_s".to_owned());
    assert_eq!(refusal(refused), (limit, Some(1)));
    assert_eq!(
        shares.admit(&user("bob"), at(0)).unwrap().standing().left,
        2
    );
}

#[test]
fn requests_in_progress_are_counted_until_they_end() {
    let shares = Shares::new(LIMITS);
    let first = shares.admit(&user("alice"), at(0)).unwrap();
    let _second = shares.admit(&user("alice"), at(0)).unwrap();
    let refused = shares.admit(&user("alice"), at(0)).unwrap_err();
    let limit = Some("in_flight_per_user_max".to_owned());
    assert_eq!(refusal(refused), (limit, Some(1)));
    shares.admit(&user("bob"), at(0)).unwrap();
    drop(first);
    // The refusal took nothing of the burst.
    let third = shares.admit(&user("alice"), at(0)).unwrap();
    assert_eq!(third.standing().left, 0);
}

#[test]
fn one_users_bodies_leave_memory_to_others() {
    let shares = Shares::new(LIMITS);
    let alice = shares.admit(&user("alice"), at(0)).unwrap();
    let bob = shares.admit(&user("bob"), at(0)).unwrap();
    let whole = alice.share.reserve(API_BODIES_PER_USER_BYTES_MAX).unwrap();
    let refused = alice.share.reserve(1).unwrap_err();
    let limit = Some("API_BODIES_PER_USER_BYTES_MAX".to_owned());
    assert_eq!(refusal(refused), (limit, Some(1)));
    bob.share.reserve(API_BODIES_PER_USER_BYTES_MAX).unwrap();
    drop(whole);
    alice.share.reserve(1).unwrap();
}

#[test]
fn seconds_are_rounded_up() {
    assert_eq!(whole_seconds(at(0)), 0);
    assert_eq!(whole_seconds(at(1)), 1);
    assert_eq!(whole_seconds(at(2_000)), 2);
}

#[test]
fn uploads_in_progress_share_what_is_left() {
    let share = Arc::new(Share::new(LIMITS));
    let upload = |bytes, left| Arc::clone(&share).upload(bytes, left);
    let first = upload(Some(60), 100).unwrap();
    assert_eq!((first.bytes, first.others), (60, 0));
    assert_eq!(upload(Some(41), 100).unwrap_err(), 60);
    // What was refused takes nothing; who says nothing takes the rest.
    let rest = upload(None, 100).unwrap();
    assert_eq!((rest.bytes, rest.others), (40, 60));
    assert_eq!(upload(None, 100).unwrap().bytes, 0);
    assert_eq!(upload(None, u64::MAX).unwrap().bytes, BLOB_BYTES_MAX);
    drop(first);
    assert_eq!(upload(Some(60), 100).unwrap().others, 40);
    // Others may have been recorded meanwhile.
    assert_eq!(upload(Some(1), 10).unwrap_err(), 40);
    drop(rest);
    assert_eq!(upload(Some(100), 100).unwrap().others, 0);
}
