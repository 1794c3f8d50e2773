//! A policy read back as a list of rules: for tools that show, examine and compare policies. Deciding is for the appraisal
//! alone; nothing here is ever asked whether evidence fits.

mod change;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use super::{
    Allowed, AppraisalPolicy, DAY_S, Demand, GpuDemand, GpuRules, HOUR_S, MaskedBits, Rtmr3Rule,
};
pub use change::{Direction, Effect, RuleChange};

/// What one key of a policy demands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The key's path, as mistakes name it. A mask and what it requires are one rule, as neither means a thing alone.
    pub path: &'static str,
    /// The demand.
    pub constraint: Constraint,
}

/// A demand, by its kind: the kind says which way is stricter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// Whatever is seen.
    Any,
    /// One of these.
    OneOf(BTreeSet<String>),
    /// None of these.
    NoneOf(BTreeSet<String>),
    /// A version or number, this one at least.
    AtLeast(Floor),
    /// The same by name; what is not named is refused.
    AtLeastByName(BTreeMap<String, Floor>),
    /// For so many seconds what has ended still counts.
    GraceS(u64),
    /// Eight bytes of which the masked bits have the required value.
    Bits {
        /// Which bits are looked at.
        #[serde(with = "hex::serde")]
        mask: [u8; 8],
        /// What they must be.
        #[serde(with = "hex::serde")]
        required: [u8; 8],
    },
    /// Whether a kind of evidence must be there.
    Presence(Presence),
    /// What the event log replays to.
    Replayed,
    /// One of these combinations of measurements, each with its name.
    References(BTreeMap<String, String>),
}

/// The lowest version or number that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    text: String,
    numbers: Vec<u32>,
}

/// Whether a kind of evidence must be there; the later the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It need not.
    NotRequired,
    /// It must where the worker claims what it is evidence of.
    IfClaimed,
    /// It must.
    Required,
}

impl Floor {
    fn new(text: impl fmt::Display, numbers: Vec<u32>) -> Self {
        Self {
            text: text.to_string(),
            numbers,
        }
    }

    /// Whether everything passes.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.numbers.iter().all(|number| *number == 0)
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for Floor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl AppraisalPolicy {
    /// Every rule, in the order of the file. A policy that demands no GPU evidence has no rules on it.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules = Vec::from(self.platform_rules());
        rules.extend(self.td_rules());
        rules.push(rule("platforms.enrolled", self.enrolled()));
        rules.push(rule(
            "platforms.revoked",
            Constraint::NoneOf(self.platforms.revoked.iter().map(hex::encode).collect()),
        ));
        let event_log = Presence::from(self.event_log);
        rules.push(rule("evidence.event_log", Constraint::Presence(event_log)));
        let (presence, gpu) = match &self.gpu {
            GpuDemand::Required(gpu) => (Presence::Required, Some(gpu)),
            GpuDemand::IfClaimed(gpu) => (Presence::IfClaimed, Some(gpu)),
            GpuDemand::NotRequired => (Presence::NotRequired, None),
        };
        rules.push(rule("evidence.gpu", Constraint::Presence(presence)));
        rules.extend(gpu.into_iter().flat_map(gpu_rules));
        rules
    }

    fn platform_rules(&self) -> [Rule; 6] {
        let tcb = &self.tcb;
        let floor = tcb.evaluation_data_number_min;
        [
            rule("tcb.statuses_allowed", one_of(&tcb.statuses_allowed)),
            rule(
                "tcb.advisories_denied",
                Constraint::NoneOf(tcb.advisories_denied.clone()),
            ),
            rule(
                "tcb.evaluation_data_number_min",
                Constraint::AtLeast(Floor::new(floor, vec![floor])),
            ),
            rule("tcb.statuses_in_grace", one_of(&tcb.statuses_in_grace)),
            rule("tcb.grace_days", Constraint::GraceS(tcb.grace_s)),
            rule(
                "collateral.grace_hours",
                Constraint::GraceS(self.collateral_grace_s),
            ),
        ]
    }

    fn td_rules(&self) -> [Rule; 10] {
        let td = &self.td;
        let rtmr3s = match &td.rtmr3s {
            Rtmr3Rule::Replayed => Constraint::Replayed,
            Rtmr3Rule::Listed(values) => one_of(values),
        };
        let modules = match &self.seam.measurements {
            Allowed::Any => Constraint::Any,
            Allowed::Listed(values) => one_of(values),
        };
        let profiles = self.platform_profiles.iter().map(|profile| {
            let values = format!("MRTD {}, RTMR0 {}", profile.mrtd, profile.rtmr0);
            (values, profile.name.clone())
        });
        let releases = self.releases.iter().map(|release| {
            let values = format!("RTMR1 {}, RTMR2 {}", release.rtmr1, release.rtmr2);
            (values, release.name.clone())
        });
        [
            rule("td.attributes", bits(td.attributes)),
            rule("td.xfam", bits(td.xfam)),
            rule("td.mr_config_ids", one_of(&td.mr_config_ids)),
            rule("td.mr_owners", one_of(&td.mr_owners)),
            rule("td.mr_owner_configs", one_of(&td.mr_owner_configs)),
            rule("td.rtmr3s", rtmr3s),
            rule("seam.signers", one_of(&self.seam.signers)),
            rule("seam.measurements", modules),
            rule(
                "platform_profiles",
                Constraint::References(profiles.collect()),
            ),
            rule("releases", Constraint::References(releases.collect())),
        ]
    }

    fn enrolled(&self) -> Constraint {
        match &self.platforms.enrolled {
            Allowed::Any => Constraint::Any,
            Allowed::Listed(ppids) => Constraint::OneOf(ppids.iter().map(hex::encode).collect()),
        }
    }
}

fn gpu_rules(gpu: &GpuRules) -> [Rule; 8] {
    let driver = &gpu.driver_version_min;
    let floors = gpu.vbios_versions_min.iter().map(|(architecture, floor)| {
        let numbers = floor.0.map(u32::from).to_vec();
        let name = architecture.to_string().to_lowercase();
        (name, Floor::new(floor, numbers))
    });
    let enrolled = match &gpu.enrolled {
        Allowed::Any => Constraint::Any,
        Allowed::Listed(serials) => one_of(serials),
    };
    [
        rule(
            "gpu.driver_version_min",
            Constraint::AtLeast(Floor::new(driver, driver.parts().to_vec())),
        ),
        rule(
            "gpu.driver_versions_denied",
            Constraint::NoneOf(texts(&gpu.driver_versions_denied)),
        ),
        rule(
            "gpu.vbios_versions_min",
            Constraint::AtLeastByName(floors.collect()),
        ),
        rule(
            "gpu.reference_measurements",
            Constraint::Presence(gpu.reference_measurements.into()),
        ),
        rule("gpu.ocsp", Constraint::Presence(gpu.ocsp.into())),
        rule("gpu.ocsp_grace_hours", Constraint::GraceS(gpu.ocsp_grace_s)),
        rule("gpu.enrolled", enrolled),
        rule("gpu.revoked", Constraint::NoneOf(gpu.revoked.clone())),
    ]
}

impl From<Demand> for Presence {
    fn from(demand: Demand) -> Self {
        match demand {
            Demand::Required => Self::Required,
            Demand::NotRequired => Self::NotRequired,
        }
    }
}

const fn rule(path: &'static str, constraint: Constraint) -> Rule {
    Rule { path, constraint }
}

fn one_of<T: fmt::Display>(values: &BTreeSet<T>) -> Constraint {
    Constraint::OneOf(texts(values))
}

fn texts<T: fmt::Display>(values: &BTreeSet<T>) -> BTreeSet<String> {
    values.iter().map(ToString::to_string).collect()
}

const fn bits(bits: MaskedBits) -> Constraint {
    Constraint::Bits {
        mask: bits.mask,
        required: bits.required,
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotRequired => "not-required",
            Self::IfClaimed => "if-claimed",
            Self::Required => "required",
        })
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("any"),
            Self::OneOf(values) => write!(formatter, "one of {}", list(values)),
            Self::NoneOf(values) => write!(formatter, "none of {}", list(values)),
            Self::AtLeast(floor) => write!(formatter, "{floor} at least"),
            Self::AtLeastByName(floors) => {
                let floors = floors.iter().map(|(name, floor)| format!("{name} {floor}"));
                write!(formatter, "at least {}", list(floors))
            }
            Self::GraceS(seconds) => formatter.write_str(&duration(*seconds)),
            Self::Bits { mask, required } => write!(
                formatter,
                "{} under mask {}",
                hex::encode(required),
                hex::encode(mask)
            ),
            Self::Presence(presence) => presence.fmt(formatter),
            Self::Replayed => formatter.write_str("what the event log replays to"),
            Self::References(known) => write!(formatter, "one of {}", list(known.values())),
        }
    }
}

fn list<T: fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
    if values.is_empty() {
        "nothing".to_owned()
    } else {
        values.join(", ")
    }
}

/// In the unit of the policy's keys.
fn duration(seconds: u64) -> String {
    if seconds != 0 && seconds.checked_rem(DAY_S) == Some(0) {
        format!("{} d", seconds.checked_div(DAY_S).unwrap_or_default())
    } else {
        format!("{} h", seconds.checked_div(HOUR_S).unwrap_or_default())
    }
}
