//! The targets, one file each.

pub(crate) mod authenticator;
pub(crate) mod broker;
pub(crate) mod certificate;
pub(crate) mod claims;
pub(crate) mod collateral;
pub(crate) mod event_log;
pub(crate) mod evidence;
pub(crate) mod frames;
pub(crate) mod gpu;
pub(crate) mod manifest;
pub(crate) mod policy;
pub(crate) mod quote;
pub(crate) mod receipt;
pub(crate) mod record;
pub(crate) mod revocation;
pub(crate) mod statement;
pub(crate) mod task;
pub(crate) mod wire;
