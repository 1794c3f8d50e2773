//! What one user may take of the API: requests a second, requests in progress, memory for bodies, disk for uploads. A user who
//! takes more is told when to come back, and the others notice nothing.

mod bucket;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Response};
use protocol::UserName;
use protocol::limits::BLOB_BYTES_MAX;
use protocol::problem::{Problem, ProblemCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::UserLimits;
use crate::limits::{API_BODIES_BYTES_MAX, API_BODIES_PER_USER_BYTES_MAX};
use crate::problem::{ApiProblem, whole_seconds};
use bucket::{Bucket, Standing};

/// `RateLimit` and `RateLimit-Policy` of the IETF's draft-ietf-httpapi-ratelimit-headers.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// KiB of bodies in memory, of all gateways of the process.
static BODIES_KIB: Semaphore = Semaphore::const_new(API_BODIES_BYTES_MAX / 1024);

/// The shares of all users. As many as there are users with an access token, so nothing is ever forgotten.
#[derive(Debug)]
pub(crate) struct Shares {
    limits: UserLimits,
    users: Mutex<HashMap<UserName, Arc<Share>>>,
}

/// One user's.
#[derive(Debug)]
pub(crate) struct Share {
    bucket: Mutex<Bucket>,
    in_flight: Arc<Semaphore>,
    bodies_kib: Arc<Semaphore>,
    /// Bytes that uploads in progress may have written to the disk. A digest is but announced until the last byte is read, so
    /// two uploads that announce the same one count twice.
    uploading: Mutex<u64>,
}

/// A request that is within its user's share, as long as this lives.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) share: Arc<Share>,
    pub(crate) place: OwnedSemaphorePermit,
    standing: Standing,
}

/// Memory for a body, until it is dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    _of_user: OwnedSemaphorePermit,
    _of_all: tokio::sync::SemaphorePermit<'static>,
}

/// Room on the disk for an upload, until it is dropped.
#[derive(Debug)]
pub(crate) struct Uploading {
    share: Arc<Share>,
    pub(crate) bytes: u64,
    /// Of the other uploads that were in progress when this one began.
    pub(crate) others: u64,
}

impl Shares {
    pub(crate) fn new(limits: UserLimits) -> Self {
        Self {
            limits,
            users: Mutex::default(),
        }
    }

    /// Counts one request, however long it takes. What is refused takes nothing.
    pub(crate) fn admit(&self, user: &UserName, now: Duration) -> Result<Admitted, ApiProblem> {
        let share = self.of(user);
        let place = Arc::clone(&share.in_flight).try_acquire_owned();
        let place = place.map_err(|_| {
            let many = self.limits.in_flight_max;
            let detail = format!(
                "{many} of your requests are in progress; come back when some are answered"
            );
            exceeded(detail, "in_flight_per_user_max", SOON)
        })?;
        let taken = share
            .bucket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(now, self.limits);
        let standing = taken.map_err(|wait| {
            let UserLimits { requests_per_s, burst_max, .. } = self.limits;
            let detail = format!("you may make {requests_per_s} requests a second, {burst_max} at once; come back later");
            exceeded(detail, "requests_per_user_per_s", wait)
        })?;
        Ok(Admitted {
            share,
            place,
            standing,
        })
    }

    fn of(&self, user: &UserName) -> Arc<Share> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = users.get(user) {
            return Arc::clone(share);
        }
        let share = Arc::new(Share::new(self.limits));
        users.insert(user.clone(), Arc::clone(&share));
        share
    }

    /// Says in an answer how much of the share is left.
    pub(crate) fn tell<B>(&self, standing: Standing, response: &mut Response<B>) {
        let UserLimits {
            requests_per_s,
            burst_max,
            ..
        } = self.limits;
        let window_s = burst_max.div_ceil(requests_per_s.max(1));
        let policy = format!("\"requests\";q={burst_max};w={window_s}");
        let left = format!(
            "\"requests\";r={};t={}",
            standing.left,
            whole_seconds(standing.full_in)
        );
        for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                response.headers_mut().insert(name, value);
            }
        }
    }
}

impl Admitted {
    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }
}

impl Share {
    fn new(limits: UserLimits) -> Self {
        Self {
            bucket: Mutex::default(),
            in_flight: semaphore(limits.in_flight_max),
            bodies_kib: Arc::new(Semaphore::new(API_BODIES_PER_USER_BYTES_MAX / 1024)),
            uploading: Mutex::default(),
        }
    }

    /// Memory for a body of so many bytes, if there is any left.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Memory, ApiProblem> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let of_user = Arc::clone(&self.bodies_kib).try_acquire_many_owned(kib);
        let of_user = of_user.map_err(|_| {
            let detail = "too many of your requests are being read or answered; come back";
            exceeded(detail, "API_BODIES_PER_USER_BYTES_MAX", SOON)
        })?;
        let of_all = BODIES_KIB.try_acquire_many(kib).map_err(|_| {
            let detail = "too many requests are being read or answered; come back";
            Problem::new(ProblemCode::Overloaded, detail)
        })?;
        Ok(Memory {
            _of_user: of_user,
            _of_all: of_all,
        })
    }

    /// Room on the disk for an upload in progress: for so many bytes, or where nobody said how many, for what is left of
    /// `left` up to one blob. Where there is too little, the bytes of the others in progress.
    pub(crate) fn upload(self: Arc<Self>, bytes: Option<u64>, left: u64) -> Result<Uploading, u64> {
        let mut uploading = self
            .uploading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let others = *uploading;
        let left = left.saturating_sub(others);
        let bytes = bytes.unwrap_or(left.min(BLOB_BYTES_MAX));
        if bytes > left {
            return Err(others);
        }
        *uploading = others.saturating_add(bytes);
        drop(uploading);
        Ok(Uploading {
            share: self,
            bytes,
            others,
        })
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        let uploading = self.share.uploading.lock();
        let mut uploading = uploading.unwrap_or_else(PoisonError::into_inner);
        *uploading = uploading.saturating_sub(self.bytes);
    }
}

fn semaphore(places: u32) -> Arc<Semaphore> {
    let places = usize::try_from(places).unwrap_or(Semaphore::MAX_PERMITS);
    Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))
}

/// Nobody knows when a request in progress is answered.
const SOON: Duration = Duration::from_secs(1);

fn exceeded(detail: impl Into<String>, limit: &str, wait: Duration) -> ApiProblem {
    let problem = Problem::new(ProblemCode::TooManyRequests, detail)
        .with_field("authorization")
        .with_limit(limit);
    ApiProblem::from(problem).with_retry_after(wait)
}
