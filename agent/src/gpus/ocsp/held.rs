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

/// A certificate and the one that issued it, in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) certificate: Vec<u8>,
    pub(super) issuer: Vec<u8>,
}

/// What the responder said, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Good {
        response: Vec<u8>,
        next_update_s: u64,
    },
    Revoked,
    /// No answer that holds.
    Failed,
}

#[derive(Debug)]
struct Entry {
    pair: Pair,
    response: Option<Vec<u8>>,
    revoked: bool,
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
                response: None,
                revoked: false,
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
            .filter(|(_, entry)| entry.due_s <= now_s);
        due.min_by_key(|(_, entry)| entry.due_s)
            .map(|(key, entry)| (*key, entry.pair.clone()))
    }

    /// When the next one is due.
    pub(super) fn due_at_s(&self) -> Option<u64> {
        self.entries.values().map(|entry| entry.due_s).min()
    }

    /// `random` spreads the next request, so that workers that started together do not ask together.
    pub(super) fn answered(&mut self, key: Sha256Digest, answer: Answer, now_s: u64, random: u64) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        entry.is_asked = true;
        let wait_s = match answer {
            Answer::Good {
                response,
                next_update_s,
            } => {
                entry.response = Some(response);
                entry.revoked = false;
                entry.failures = 0;
                refresh_wait_s(next_update_s.saturating_sub(now_s), random)
            }
            Answer::Revoked => {
                entry.response = None;
                entry.revoked = true;
                entry.failures = 0;
                RETRY_S_MAX
            }
            Answer::Failed => {
                let wait_s = retry_wait_s(entry.failures, random);
                entry.failures = entry.failures.saturating_add(1);
                wait_s
            }
        };
        entry.due_s = now_s.saturating_add(wait_s);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.entries.values().all(|entry| entry.is_asked)
    }

    pub(super) fn responses(&self, chain: &[Vec<u8>]) -> Vec<Vec<u8>> {
        self.of(chain)
            .filter_map(|entry| entry.response.clone())
            .collect()
    }

    pub(super) fn is_revoked(&self, chain: &[Vec<u8>]) -> bool {
        self.of(chain).any(|entry| entry.revoked)
    }

    fn of(&self, chain: &[Vec<u8>]) -> impl Iterator<Item = &Entry> {
        pairs(chain).filter_map(|(key, _)| self.entries.get(&key))
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

/// Between a half and three quarters of what is left.
fn refresh_wait_s(left_s: u64, random: u64) -> u64 {
    let (half_s, quarter_s) = (left_s / 2, left_s / 4);
    half_s
        .saturating_add(random % quarter_s.max(1))
        .max(REFRESH_S_MIN)
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
        Answer::Good {
            response: vec![byte],
            next_update_s,
        }
    }

    #[test]
    fn each_certificate_is_asked_about_once_and_the_leaf_never() {
        let chains = [chain(1), chain(2)];
        let mut held = held(&chains);
        let mut asked = Vec::new();
        while let Some((key, pair)) = held.due(1_000) {
            held.answered(key, good(pair.certificate[0], 10_000), 1_000, 0);
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
                held.answered(key, good(7, 9_000), 1_000, random);
            }
            let due_s = held.due_at_s().unwrap();
            assert!((5_000..=7_000).contains(&due_s), "{due_s}");
        }
    }

    #[test]
    fn failures_wait_longer_each_time_and_keep_the_old_response() {
        let chains = [chain(1)];
        let mut held = held(&chains);
        let (key, _) = held.due(0).unwrap();
        held.answered(key, good(7, 200), 0, 0);
        let mut waits_s = Vec::new();
        for _ in 0..8 {
            held.answered(key, Answer::Failed, 1_000, 0);
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
        held.answered(key, good(7, 200), 0, 0);
        held.answered(key, Answer::Revoked, 0, 0);
        assert!(held.is_revoked(&chains[0]) && !held.is_revoked(&chains[1]));
        assert!(held.responses(&chains[0]).is_empty());
    }

    #[test]
    fn a_chain_that_nobody_wants_any_more_is_forgotten() {
        let chains = [chain(1), chain(2)];
        let mut held = held(&chains);
        held.answered(Sha256Digest::of(&[1, 1]), Answer::Revoked, 0, 0);
        held.want([chains[1].as_slice()].into_iter());
        assert!(!held.is_revoked(&chains[0]));
        assert_eq!(held.entries.len(), 2);
    }
}
