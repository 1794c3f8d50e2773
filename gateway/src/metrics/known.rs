//! Meters that were met before. To name one costs the recorder a key with texts of its own, which is more than to count with it, and
//! every task counts with ten.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock};

use metrics::Key;

use super::key;

/// By the hash of name and labels. As many as the recorder has.
pub(super) struct Known<M> {
    meters: RwLock<HashMap<u64, (Key, M)>>,
    hashes: RandomState,
}

impl<M> Default for Known<M> {
    fn default() -> Self {
        Self {
            meters: RwLock::default(),
            hashes: RandomState::new(),
        }
    }
}

impl<M: Clone> Known<M> {
    /// The meter of this name with these labels, registered when it is met first.
    pub(super) fn find(
        &self,
        name: &'static str,
        labels: &[(&'static str, &str)],
        register: impl FnOnce(&Key) -> M,
    ) -> M {
        let hash = self.hashes.hash_one((name, labels));
        let meters = self.meters.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, meter)) = meters.get(&hash)
            && is(known, name, labels)
        {
            return meter.clone();
        }
        drop(meters);
        let key = key(name, labels);
        let meter = register(&key);
        let mut meters = self.meters.write().unwrap_or_else(PoisonError::into_inner);
        // Of two with one hash the later is kept, and the other is found by the recorder.
        meters.insert(hash, (key, meter.clone()));
        meter
    }
}

fn is(key: &Key, name: &str, labels: &[(&'static str, &str)]) -> bool {
    let given = labels.iter().copied();
    key.name() == name
        && key
            .labels()
            .map(|label| (label.key(), label.value()))
            .eq(given)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_meter_is_registered_once_and_no_other_stands_for_it() {
        let known = Known::default();
        let registered = Cell::new(0);
        let find = |name, labels: &[(&'static str, &str)]| {
            known.find(name, labels, |key| {
                registered.set(registered.get() + 1);
                key.to_string()
            })
        };
        let first = find("requests", &[("route", "/v1/tasks"), ("status", "200")]);
        for _ in 0..3 {
            let again = find("requests", &[("route", "/v1/tasks"), ("status", "200")]);
            assert_eq!(again, first);
        }
        assert_eq!(registered.get(), 1);
        for (name, labels) in [
            ("requests", [("route", "/v1/tasks"), ("status", "404")]),
            ("requests", [("status", "200"), ("route", "/v1/tasks")]),
            ("answers", [("route", "/v1/tasks"), ("status", "200")]),
        ] {
            assert_ne!(find(name, &labels), first);
        }
        assert_eq!(registered.get(), 4);
    }

    /// As if its hash were that of another, which the map cannot tell.
    #[test]
    fn what_has_the_hash_of_another_is_registered_for_itself() {
        let known = Known::default();
        let labels = [("outcome", "accepted")];
        let hash = known.hashes.hash_one(("acks", labels.as_slice()));
        let other = key("nacks", &labels);
        let entry = (other, "nacks".to_owned());
        known.meters.write().unwrap().insert(hash, entry);
        let found = known.find("acks", &labels, |key| key.name().to_owned());
        assert_eq!(found, "acks");
    }
}
