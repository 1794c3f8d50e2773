//! Which responses are held, which is due when: decisions alone, no clock and no network.

use std::collections::BTreeMap;

use protocol::Sha256Digest;

/// NVIDIA's responder answers for all certificates of a chain but the leaf, which the device issues to itself.
const FIRST_WITH_OCSP: usize = 1;
/// After a failure the responder is asked again within this, doubling …
const RETRY_S: u64 = 30;
/// … up to this: an outage of the responder must not become an outage by the workers that wait for it.
const RETRY_S_MAX: u64 = 15 * 60;
/// Not more often than this, however short a response is good for.
const REFRESH_S_MIN: u64 = 60;

/// Not more seldom than this, however long a response is good for: a revocation is to be seen within a day.
const REFRESH_S_MAX: u64 = 24 * 3600;

/// A certificate and the one that issued it, in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) certificate: Vec<u8>,
    pub(super) issuer: Vec<u8>,
}

/// What the responder said, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Good(Good),
    Revoked {
        this_update_s: u64,
    },
    /// No answer that holds.
    Failed,
}

/// A response that says that a certificate is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Good {
    pub(super) response: Vec<u8>,
    pub(super) this_update_s: u64,
    pub(super) next_update_s: u64,
}

/// Why a good response is no news. A response carries no nonce, so whoever stands in between can answer with an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum StaleError {
    #[error("the response ended at {0}")]
    Ended(u64),
    #[error("the response ends at {next_update_s}, before the one at hand, which ends at {held_s}")]
    Earlier { next_update_s: u64, held_s: u64 },
    #[error(
        "the response is of {this_update_s}, not after the revocation that was told at {revoked_s}"
    )]
    BeforeRevocation { this_update_s: u64, revoked_s: u64 },
}

#[derive(Debug)]
struct Entry {
    pair: Pair,
    good: Option<Good>,
    /// When the responder last said that the certificate is revoked, if nothing later says otherwise.
    revoked_s: Option<u64>,
    is_asked: bool,
    failures: u32,
    due_s: u64,
}

/// One entry for each certificate that somebody wants a response for, by the certificate's digest.
#[derive(Debug, Default)]
pub(super) struct Held {
    entries: BTreeMap<Sha256Digest, Entry>,
}

impl Held {
    /// Keeps the entries of these chains and no others. Whether there are new ones, which are due at once.
    pub(super) fn want<'c>(&mut self, chains: impl Iterator<Item = &'c [Vec<u8>]>) -> bool {
        let wanted: BTreeMap<_, _> = chains.flat_map(pairs).collect();
        self.entries.retain(|key, _| wanted.contains_key(key));
        let known = self.entries.len();
        for (key, pair) in wanted {
            self.entries.entry(key).or_insert(Entry {
                pair,
                good: None,
                revoked_s: None,
                is_asked: false,
                failures: 0,
                due_s: 0,
            });
        }
        self.entries.len() > known
    }

    /// The certificate that has been due for longest.
    pub(super) fn due(&self, now_s: u64) -> Option<(Sha256Digest, Pair)> {
        let due = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_time(now_s));
        due.min_by_key(|(_, entry)| entry.due_s)
            .map(|(key, entry)| (*key, entry.pair.clone()))
    }

    /// When the next one is due.
    pub(super) fn due_at_s(&self) -> Option<u64> {
        self.entries.values().map(|entry| entry.due_s).min()
    }

    /// `random` spreads the next request, so that workers that started together do not ask together. An answer that is no
    /// news counts as none.
    pub(super) fn answered(
        &mut self,
        key: Sha256Digest,
        answer: Answer,
        now_s: u64,
        random: u64,
    ) -> Result<(), StaleError> {
        let Some(entry) = self.entries.get_mut(&key) else {
            return Ok(());
        };
        entry.is_asked = true;
        let (outcome, wait_s) = match answer {
            Answer::Good(good) => match entry.is_news(&good, now_s) {
                Ok(()) => (Ok(()), entry.good(good, now_s, random)),
                Err(stale) => (Err(stale), entry.failed(random)),
            },
            Answer::Revoked { this_update_s } => (Ok(()), entry.revoked(this_update_s)),
            Answer::Failed => (Ok(()), entry.failed(random)),
        };
        entry.due_s = now_s.saturating_add(wait_s);
        outcome
    }

    pub(super) fn is_settled(&self) -> bool {
        self.entries.values().all(|entry| entry.is_asked)
    }

    pub(super) fn responses(&self, chain: &[Vec<u8>]) -> Vec<Vec<u8>> {
        self.of(chain)
            .filter_map(|entry| Some(entry.good.as_ref()?.response.clone()))
            .collect()
    }

    pub(super) fn is_revoked(&self, chain: &[Vec<u8>]) -> bool {
        self.of(chain).any(|entry| entry.revoked_s.is_some())
    }

    fn of(&self, chain: &[Vec<u8>]) -> impl Iterator<Item = &Entry> {
        pairs(chain).filter_map(|(key, _)| self.entries.get(&key))
    }
}

/// When to ask, what becomes of an answer, and how long to wait before the next request.
impl Entry {
    /// Also when the clock went back so far that the time to ask cannot be one that was set here.
    fn is_time(&self, now_s: u64) -> bool {
        let furthest_s = now_s.saturating_add(REFRESH_S_MAX);
        self.due_s <= now_s || self.due_s > furthest_s
    }

    fn is_news(&self, good: &Good, now_s: u64) -> Result<(), StaleError> {
        let (this_update_s, next_update_s) = (good.this_update_s, good.next_update_s);
        if next_update_s <= now_s {
            return Err(StaleError::Ended(next_update_s));
        }
        match (self.revoked_s, &self.good) {
            (Some(revoked_s), _) if this_update_s <= revoked_s => {
                Err(StaleError::BeforeRevocation {
                    this_update_s,
                    revoked_s,
                })
            }
            (_, Some(held)) if next_update_s < held.next_update_s => Err(StaleError::Earlier {
                next_update_s,
                held_s: held.next_update_s,
            }),
            _ => Ok(()),
        }
    }

    fn good(&mut self, good: Good, now_s: u64, random: u64) -> u64 {
        let wait_s = refresh_wait_s(good.next_update_s.saturating_sub(now_s), random);
        self.good = Some(good);
        self.revoked_s = None;
        self.failures = 0;
        wait_s
    }

    /// Believed even where it is older than what is at hand: to doubt a revocation could only harm.
    fn revoked(&mut self, this_update_s: u64) -> u64 {
        self.good = None;
        self.revoked_s = self.revoked_s.max(Some(this_update_s));
        self.failures = 0;
        RETRY_S_MAX
    }

    fn failed(&mut self, random: u64) -> u64 {
        let wait_s = retry_wait_s(self.failures, random);
        self.failures = self.failures.saturating_add(1);
        wait_s
    }
}

fn pairs(chain: &[Vec<u8>]) -> impl Iterator<Item = (Sha256Digest, Pair)> {
    let issued = chain.iter().zip(chain.iter().skip(1));
    issued.skip(FIRST_WITH_OCSP).map(|(certificate, issuer)| {
        let pair = Pair {
            certificate: certificate.clone(),
            issuer: issuer.clone(),
        };
        (Sha256Digest::of(certificate), pair)
    })
}

/// Between a half and three quarters of what is left, within the limits.
fn refresh_wait_s(left_s: u64, random: u64) -> u64 {
    let (half_s, quarter_s) = (left_s / 2, left_s / 4);
    half_s
        .saturating_add(random % quarter_s.max(1))
        .clamp(REFRESH_S_MIN, REFRESH_S_MAX)
}

fn retry_wait_s(failures: u32, random: u64) -> u64 {
    let wait_s = RETRY_S
        .saturating_mul(2_u64.saturating_pow(failures))
        .min(RETRY_S_MAX);
    (wait_s / 2).saturating_add(random % (wait_s / 2).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(name: u8) -> Vec<Vec<u8>> {
        // Leaf and device are each GPU's own; the two above are NVIDIA's.
        vec![vec![name, 0], vec![name, 1], vec![0xca, 2], vec![0xca, 3]]
    }

    fn held(chains: &[Vec<Vec<u8>>]) -> Held {
        let mut held = Held::default();
        assert!(held.want(chains.iter().map(Vec::as_slice)));
        held
    }

    fn good(byte: u8, next_update_s: u64) -> Answer {
        Answer::Good(Good {
            response: vec![byte],
            this_update_s: 0,
            next_update_s,
        })
    }

    /// The first chain's own certificate has this answer at second 1000.
    fn one(held: &mut Held, answer: Answer) -> Result<(), StaleError> {
        held.answered(Sha256Digest::of(&[1, 1]), answer, 1_000, 0)
    }

    #[test]
    fn each_certificate_is_asked_about_once_and_the_leaf_never() {
        let chains = [chain(1), chain(2)];
        let mut held = held(&chains);
        let mut asked = Vec::new();
        while let Some((key, pair)) = held.due(1_000) {
            held.answered(key, good(pair.certificate[0], 10_000), 1_000, 0)
                .unwrap();
            asked.push(pair);
        }
        asked.sort_unstable_by(|a, b| a.certificate.cmp(&b.certificate));
        let certificates: Vec<_> = asked.iter().map(|pair| pair.certificate.clone()).collect();
        assert_eq!(certificates, [vec![1, 1], vec![2, 1], vec![0xca, 2]]);
        assert_eq!(asked[0].issuer, [0xca, 2]);
        assert!(held.is_settled());
        assert_eq!(held.responses(&chains[0]), [vec![1], vec![0xca]]);
        assert!(!held.want(chains.iter().map(Vec::as_slice)), "nothing new");
    }

    #[test]
    fn a_response_is_refreshed_before_it_ends() {
        for random in [0, 1, 12_345, u64::MAX] {
            let mut held = held(&[chain(1)]);
            while let Some((key, _)) = held.due(1_000) {
                held.answered(key, good(7, 9_000), 1_000, random).unwrap();
            }
            let due_s = held.due_at_s().unwrap();
            assert!((5_000..=7_000).contains(&due_s), "{due_s}");
        }
    }

    #[test]
    fn a_clock_that_went_back_makes_everything_due() {
        const YEAR_S: u64 = 365 * 24 * 3600;
        for answer in [good(7, YEAR_S + 9_000), good(7, 9 * YEAR_S), Answer::Failed] {
            let mut held = held(&[chain(1)]);
            while let Some((key, _)) = held.due(YEAR_S) {
                let _ = held.answered(key, answer.clone(), YEAR_S, 0);
            }
            assert!(held.due_at_s().unwrap() <= YEAR_S + REFRESH_S_MAX);
            let mut asked = 0;
            while let Some((key, _)) = held.due(1_000) {
                held.answered(key, Answer::Failed, 1_000, 0).unwrap();
                asked += 1;
            }
            assert_eq!(asked, 2, "both, and once each");
        }
    }

    #[test]
    fn failures_wait_longer_each_time_and_keep_the_old_response() {
        let chains = [chain(1)];
        let mut held = held(&chains);
        let (key, _) = held.due(0).unwrap();
        held.answered(key, good(7, 200), 0, 0).unwrap();
        let mut waits_s = Vec::new();
        for _ in 0..8 {
            held.answered(key, Answer::Failed, 1_000, 0).unwrap();
            waits_s.push(held.entries[&key].due_s - 1_000);
        }
        assert_eq!(waits_s, [15, 30, 60, 120, 240, 450, 450, 450]);
        assert_eq!(held.responses(&chains[0]), [vec![7]]);
    }

    #[test]
    fn a_revoked_certificate_is_remembered_and_has_no_response() {
        let chains = [chain(1), chain(2)];
        let mut held = held(&chains);
        let key = Sha256Digest::of(&[1, 1]);
        held.answered(key, good(7, 200), 0, 0).unwrap();
        held.answered(key, Answer::Revoked { this_update_s: 0 }, 0, 0)
            .unwrap();
        assert!(held.is_revoked(&chains[0]) && !held.is_revoked(&chains[1]));
        assert!(held.responses(&chains[0]).is_empty());
    }

    #[test]
    fn a_response_that_has_ended_counts_as_none() {
        let chains = [chain(1)];
        let mut held = held(&chains);
        for ended_s in [0, 999, 1_000] {
            let stale = one(&mut held, good(7, ended_s));
            assert_eq!(stale, Err(StaleError::Ended(ended_s)));
        }
        assert!(held.responses(&chains[0]).is_empty());
        let entry = &held.entries[&Sha256Digest::of(&[1, 1])];
        assert_eq!((entry.failures, entry.due_s), (3, 1_060), "as failures do");
        one(&mut held, good(7, 1_001)).unwrap();
        assert_eq!(held.responses(&chains[0]), [vec![7]]);
    }

    #[test]
    fn a_response_that_ends_earlier_does_not_replace_one() {
        let chains = [chain(1)];
        let mut held = held(&chains);
        one(&mut held, good(7, 9_000)).unwrap();
        let earlier = StaleError::Earlier {
            next_update_s: 8_999,
            held_s: 9_000,
        };
        assert_eq!(one(&mut held, good(8, 8_999)), Err(earlier));
        assert_eq!(held.responses(&chains[0]), [vec![7]]);
        one(&mut held, good(9, 9_000)).unwrap();
        assert_eq!(held.responses(&chains[0]), [vec![9]]);
    }

    #[test]
    fn a_revocation_stands_until_a_later_response_lifts_it() {
        let chains = [chain(1)];
        let mut held = held(&chains);
        let made = |this_update_s| {
            Answer::Good(Good {
                response: vec![7],
                this_update_s,
                next_update_s: 9_000,
            })
        };
        for this_update_s in [900, 800] {
            one(&mut held, Answer::Revoked { this_update_s }).unwrap();
        }
        for this_update_s in [700, 850, 900] {
            let before = StaleError::BeforeRevocation {
                this_update_s,
                revoked_s: 900,
            };
            assert_eq!(one(&mut held, made(this_update_s)), Err(before));
            assert!(held.is_revoked(&chains[0]) && held.responses(&chains[0]).is_empty());
        }
        one(&mut held, made(901)).unwrap();
        assert!(!held.is_revoked(&chains[0]));
        assert_eq!(held.responses(&chains[0]), [vec![7]]);
    }

    #[test]
    fn a_chain_that_nobody_wants_any_more_is_forgotten() {
        let chains = [chain(1), chain(2)];
        let mut held = held(&chains);
        held.answered(
            Sha256Digest::of(&[1, 1]),
            Answer::Revoked { this_update_s: 0 },
            0,
            0,
        )
        .unwrap();
        held.want([chains[1].as_slice()].into_iter());
        assert!(!held.is_revoked(&chains[0]));
        assert_eq!(held.entries.len(), 2);
    }
}
