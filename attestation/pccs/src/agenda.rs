//! Which family is looked for when: a plain state machine that takes events and `now`. It does no I/O and holds no collateral.
//!
//! What is held is looked for again in good time before it ends, and once a day. What a worker asked for is looked for once,
//! and after a failure not again for a while, however often it is asked for. One family at a time is handed out, so there is
//! never a second request for one that is on its way.

use std::collections::BTreeMap;

use attestation::{Collateral, Family};

use crate::limits::{
    DUE_AGAIN_S, DUE_BEFORE_S, FAILED_FIRST_S, FAILED_S_MAX, REFRESH_AGE_S, WANTED_FAMILIES_MAX,
};

/// What is held and what is wanted.
#[derive(Debug, Default)]
pub struct Agenda {
    entries: BTreeMap<Family, Entry>,
}

#[derive(Debug)]
struct Entry {
    standing: Standing,
    look_at_s: u64,
    failures: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// In the store.
    Held,
    /// Asked for, and to be looked for.
    Wanted,
    /// Asked for, looked for in vain; not looked for again before its time, and then only if it is asked for again.
    Failed,
}

/// What becomes of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It will be looked for.
    Taken,
    /// It is held, or on its way.
    Known,
    /// It failed lately.
    FailedLately,
    /// Too many others are wanted.
    TooMany,
}

impl Agenda {
    /// What the store holds now. New families are looked for when they are due or a day old; `random` spreads the gateways of
    /// a site. Families that are gone are forgotten.
    pub fn hold<'a>(
        &mut self,
        held: impl IntoIterator<Item = (Family, &'a Collateral)>,
        now_s: u64,
        random: u16,
    ) {
        let held: BTreeMap<_, _> = held.into_iter().collect();
        self.entries
            .retain(|family, entry| entry.standing != Standing::Held || held.contains_key(family));
        for (family, collateral) in held {
            let is_held = self
                .entries
                .get(&family)
                .is_some_and(|entry| entry.standing == Standing::Held);
            if !is_held {
                let entry = Entry {
                    standing: Standing::Held,
                    look_at_s: first_look_s(collateral, now_s, random),
                    failures: 0,
                };
                self.entries.insert(family, entry);
            }
        }
    }

    /// A worker was refused for want of this family.
    pub fn want(&mut self, family: Family, now_s: u64) -> Wish {
        if let Some(entry) = self.entries.get_mut(&family) {
            if entry.standing != Standing::Failed {
                return Wish::Known;
            }
            if !entry.is_time(now_s) {
                return Wish::FailedLately;
            }
            entry.standing = Standing::Wanted;
            return Wish::Taken;
        }
        self.forget_failed(now_s);
        let wanted = self.entries.values();
        let wanted = wanted.filter(|entry| entry.standing != Standing::Held);
        if wanted.count() >= WANTED_FAMILIES_MAX {
            return Wish::TooMany;
        }
        let entry = Entry {
            standing: Standing::Wanted,
            look_at_s: now_s,
            failures: 0,
        };
        self.entries.insert(family, entry);
        Wish::Taken
    }

    /// The family to look for now, if any: what a worker waits for first.
    #[must_use]
    pub fn due(&self, now_s: u64) -> Option<Family> {
        let due = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.standing != Standing::Failed && entry.is_time(now_s));
        let due = due.min_by_key(|(_, entry)| (entry.standing == Standing::Held, entry.look_at_s));
        due.map(|(family, _)| *family)
    }

    /// It was fetched, new or unchanged.
    pub fn succeeded(&mut self, family: Family, collateral: &Collateral, now_s: u64, random: u16) {
        let entry = Entry {
            standing: Standing::Held,
            look_at_s: next_look_s(collateral, now_s, random),
            failures: 0,
        };
        self.entries.insert(family, entry);
    }

    /// It could not be fetched.
    pub fn failed(&mut self, family: Family, now_s: u64, random: u16) {
        if let Some(entry) = self.entries.get_mut(&family) {
            let doubled = FAILED_FIRST_S.saturating_mul(2_u64.saturating_pow(entry.failures));
            let wait_s = doubled.min(FAILED_S_MAX);
            entry.look_at_s = now_s.saturating_add(spread(wait_s, random));
            entry.failures = entry.failures.saturating_add(1);
            if entry.standing == Standing::Wanted {
                entry.standing = Standing::Failed;
            }
        }
    }

    fn forget_failed(&mut self, now_s: u64) {
        self.entries
            .retain(|_, entry| entry.standing != Standing::Failed || !entry.is_time(now_s));
    }
}

impl Entry {
    /// Also when the clock went back so far that the time to look cannot be one that was set here.
    fn is_time(&self, now_s: u64) -> bool {
        let furthest_s = now_s.saturating_add(2 * REFRESH_AGE_S);
        self.look_at_s <= now_s || self.look_at_s > furthest_s
    }
}

/// When the first part is due: so long before its end, or at two thirds of its life where that is later.
#[must_use]
pub fn due_s(collateral: &Collateral) -> u64 {
    let due = collateral.validities().iter().map(|part| {
        let life_s = part.next_update_s.saturating_sub(part.issued_s);
        part.next_update_s
            .saturating_sub(DUE_BEFORE_S.min(life_s / 3))
    });
    due.min().unwrap_or_default()
}

/// Nobody knows when what is found in the folder was fetched: any time within the day, unless it is due before.
fn first_look_s(collateral: &Collateral, now_s: u64, random: u16) -> u64 {
    let offset_s = spread(REFRESH_AGE_S, random).saturating_sub(REFRESH_AGE_S / 2);
    now_s
        .saturating_add(offset_s.saturating_mul(2))
        .min(due_s(collateral))
}

/// In a day, or when the first part is due; soon again where the newest that there is is due already.
fn next_look_s(collateral: &Collateral, now_s: u64, random: u16) -> u64 {
    let due_s = due_s(collateral);
    if due_s <= now_s {
        now_s.saturating_add(spread(DUE_AGAIN_S, random))
    } else {
        now_s
            .saturating_add(spread(REFRESH_AGE_S, random))
            .min(due_s)
    }
}

/// Between half of it and all of it.
fn spread(wait_s: u64, random: u16) -> u64 {
    let half = wait_s / 2;
    half.saturating_add(half.saturating_mul(u64::from(random)) / u64::from(u16::MAX))
}

#[cfg(test)]
mod tests;
