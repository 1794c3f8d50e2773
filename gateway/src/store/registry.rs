//! The store's doors beside the queue: workers, sessions, attestations, access tokens, ownership of blobs.

use protocol::task::InputDescriptor;
use protocol::{SessionId, Sha256Digest, UserName, WorkerId};

use super::database::{Caller, Weight, WriteScope};
use super::{
    AccessGrant, AccessTokenId, AccessTokenRecord, BlobStanding, ClaimsBefore, CreateWorkerError,
    EnrolmentSecret, NewAccessToken, NewAttestation, NewReappraisal, NewSession, RecordBlobError,
    Store, StoreError, StoredAttestation, WorkerRecord, access, attestations, blobs, reappraisals,
    workers,
};

impl Store {
    /// Enrols a worker.
    pub async fn create_worker(
        &self,
        worker: WorkerId,
        secret: EnrolmentSecret,
        now_ms: u64,
    ) -> Result<(), CreateWorkerError> {
        let created = self
            .write_row(move |scope| workers::create(scope, &worker, &secret, now_ms))
            .await;
        created.map_err(CreateWorkerError::Store)?
    }

    pub async fn enrolment_secret(
        &self,
        worker: &WorkerId,
    ) -> Result<Option<EnrolmentSecret>, StoreError> {
        let worker = worker.clone();
        self.database
            .read(move |connection| workers::enrolment_secret(connection, &worker))
            .await
    }

    /// Every enrolled worker, by name.
    pub async fn workers(&self) -> Result<Vec<WorkerRecord>, StoreError> {
        self.database.read(workers::list).await
    }

    pub async fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRecord>, StoreError> {
        let worker = worker.clone();
        self.database
            .read(move |connection| workers::find(connection, &worker))
            .await
    }

    /// Whether it takes no new tasks; `None` where there is no such worker.
    pub async fn is_draining(&self, worker: &WorkerId) -> Result<Option<bool>, StoreError> {
        let worker = worker.clone();
        self.database
            .read(move |connection| workers::is_draining(connection, &worker))
            .await
    }

    /// Starts or ends a drain; `false` where there is no such worker.
    pub async fn set_draining(
        &self,
        worker: &WorkerId,
        draining: bool,
    ) -> Result<bool, StoreError> {
        let worker = worker.clone();
        self.write_row(move |scope| workers::set_draining(scope, &worker, draining))
            .await
    }

    /// Adds up what workers have done since the last time, so that nobody who asks for it has much to add up.
    pub async fn count_succeeded(&self) -> Result<(), StoreError> {
        self.write_row(|scope| workers::count_succeeded(scope))
            .await
    }

    /// Removes a worker; what it held returns to the queue. `false` where there is no such worker.
    pub async fn delete_worker(&self, worker: &WorkerId, now_ms: u64) -> Result<bool, StoreError> {
        let worker = worker.clone();
        self.write_row(move |scope| workers::delete(scope, &worker, now_ms))
            .await
    }

    /// Notes why a worker was not admitted, for the operator. One that is not enrolled leaves no trace here.
    pub async fn record_refusal(
        &self,
        worker: &WorkerId,
        code: String,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let worker = worker.clone();
        self.write_row(move |scope| workers::record_refusal(scope, &worker, &code, now_ms))
            .await
    }

    /// Keeps an attestation record. Before the verdict goes out: no receipt may point at a record that is not there.
    pub async fn record_attestation(&self, attestation: NewAttestation) -> Result<(), StoreError> {
        let weight = Weight {
            rows: 1,
            bytes: u64::try_from(attestation.record.len()).unwrap_or(u64::MAX),
        };
        let operation = move |scope: &mut WriteScope<'_>| attestations::record(scope, &attestation);
        self.database.write(weight, Caller::Pool, operation).await
    }

    /// Keeps another verdict on recorded evidence. Before anybody relies on it.
    pub async fn record_reappraisal(&self, reappraisal: NewReappraisal) -> Result<(), StoreError> {
        // The documents are written once for all; the transcript is this one's.
        let weight = Weight {
            rows: 1,
            bytes: u64::try_from(reappraisal.transcript.len()).unwrap_or(u64::MAX),
        };
        let operation = move |scope: &mut WriteScope<'_>| reappraisals::record(scope, &reappraisal);
        self.database.write(weight, Caller::Pool, operation).await
    }

    /// The record as it was made when the evidence came.
    pub async fn attestation(&self, id: &str) -> Result<Option<StoredAttestation>, StoreError> {
        let id = id.to_owned();
        self.database
            .read(move |connection| attestations::by_id(connection, &id))
            .await
    }

    /// The latest attestation of a worker, with the latest verdict on it.
    pub async fn worker_attestation(
        &self,
        worker: &WorkerId,
    ) -> Result<Option<StoredAttestation>, StoreError> {
        let worker = worker.clone();
        self.database
            .read(move |connection| reappraisals::latest(connection, &worker))
            .await
    }

    pub async fn begin_session(&self, session: NewSession) -> Result<(), StoreError> {
        self.write_row(move |scope| attestations::begin_session(scope, &session))
            .await
    }

    pub async fn end_session(&self, session: SessionId, now_ms: u64) -> Result<(), StoreError> {
        self.write_row(move |scope| attestations::end_session(scope, session, now_ms))
            .await
    }

    pub async fn create_access_token(
        &self,
        token: NewAccessToken,
    ) -> Result<AccessTokenId, StoreError> {
        self.write_row(move |scope| access::create(scope, &token))
            .await
    }

    /// What the access token of this digest stands for; `None` for one that is unknown or revoked. What another process revokes
    /// may open something for another second.
    pub async fn access_grant(
        &self,
        sha256: Sha256Digest,
        now_ms: u64,
    ) -> Result<Option<AccessGrant>, StoreError> {
        if let Some(known) = self.grants.known(sha256, now_ms) {
            return Ok(Some(known));
        }
        let found = self
            .database
            .look(move |connection| access::find(connection, sha256))
            .await?;
        let Some((grant, last_used_ms)) = found else {
            return Ok(None);
        };
        if access::is_use_news(last_used_ms, now_ms) {
            let id = grant.id;
            let noted = self.write_row(move |scope| access::note_use(scope, id, now_ms));
            if let Err(error) = noted.await {
                // A note for people: on a full disk outputs must still be there to be read.
                tracing::warn!(%error, "the use of an access token is not noted");
            }
        }
        self.grants.keep(sha256, grant.clone(), now_ms);
        Ok(Some(grant))
    }

    pub async fn access_tokens(&self) -> Result<Vec<AccessTokenRecord>, StoreError> {
        self.database.read(access::list).await
    }

    /// From now on the access token opens nothing; `false` where there was none in force.
    pub async fn revoke_access_token(
        &self,
        id: AccessTokenId,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let revoked = self
            .write_row(move |scope| access::revoke(scope, id, now_ms))
            .await;
        self.grants.forget();
        revoked
    }

    /// Notes that a user has shown the bytes of a blob, so that the user's tasks may have it as an input. The blob is on
    /// disk already. One that would take the user's blobs beyond their limit stays nobody's.
    pub async fn record_user_blob(
        &self,
        user: &UserName,
        blob: InputDescriptor,
        now_ms: u64,
    ) -> Result<(), RecordBlobError> {
        let (user, bytes_max) = (user.clone(), self.blob_bytes_per_user_max);
        let recorded = self.write_row(move |scope| {
            blobs::record_user_blob(scope, &user, blob, (bytes_max, now_ms))
        });
        let recorded = recorded.await.map_err(RecordBlobError::Store)?;
        recorded.map_err(RecordBlobError::Excess)
    }

    /// What an upload of this blob by this user would find now.
    pub async fn blob_standing(
        &self,
        user: &UserName,
        sha256: Sha256Digest,
    ) -> Result<BlobStanding, StoreError> {
        let user = user.clone();
        self.database
            .read(move |connection| blobs::standing(connection, &user, sha256))
            .await
    }

    pub async fn user_blob(
        &self,
        user: &UserName,
        sha256: Sha256Digest,
    ) -> Result<Option<InputDescriptor>, StoreError> {
        let user = user.clone();
        self.database
            .read(move |connection| blobs::user_blob(connection, &user, sha256))
            .await
    }

    /// Workers that take no new tasks.
    pub async fn draining_workers(&self) -> Result<Vec<WorkerId>, StoreError> {
        self.database.read(workers::draining).await
    }

    /// Ends old claims on blobs, a bounded number; true while there may be more.
    pub async fn end_blob_claims(&self, stored_before: ClaimsBefore) -> Result<bool, StoreError> {
        let operation = move |scope: &mut WriteScope<'_>| blobs::end_claims(scope, stored_before);
        self.database
            .write(Weight::ROW, Caller::Pool, operation)
            .await
    }

    /// Those of these blobs that no task refers to and nobody claims.
    pub async fn unreferenced_blobs(
        &self,
        of: Vec<Sha256Digest>,
    ) -> Result<Vec<Sha256Digest>, StoreError> {
        self.database
            .read(move |connection| blobs::unreferenced(connection, &of))
            .await
    }

    /// Notes that a worker has uploaded an output, so that its acks may name it. The blob is on disk already.
    pub async fn record_worker_blob(
        &self,
        worker: &WorkerId,
        blob: InputDescriptor,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let worker = worker.clone();
        self.write_row(move |scope| blobs::record_worker_blob(scope, &worker, blob, now_ms))
            .await
    }

    async fn write_row<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut WriteScope<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.database
            .write(Weight::ROW, Caller::Pool, operation)
            .await
    }
}
