//! Forged evidence through the real verifier and appraisal: each refusal by name.

#[cfg(test)]
mod appraisal;
#[cfg(test)]
mod collateral;
#[cfg(test)]
mod collateral_alone;
#[cfg(test)]
mod event_log;
#[cfg(test)]
mod gpu;
#[cfg(test)]
mod places;
#[cfg(test)]
mod record;
#[cfg(test)]
mod rim;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod staple;
#[cfg(test)]
mod verification;
