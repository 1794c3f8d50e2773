//! The operator's routes: the pool's state and its workers.

use protocol::WorkerId;
use protocol::api::{
    AppraisalPolicyView, CreateWorker, CreatedWorker, Explanation, PoolStatus, WorkerList,
    WorkerView,
};
use reqwest::Method;

use super::call::Call;
use super::retry::Repeat;
use super::{Gateway, GatewayError};

impl Gateway {
    /// `GET /v1/status`.
    pub async fn status(&self) -> Result<PoolStatus, GatewayError> {
        self.json(Call::get("show its status", "/v1/status")).await
    }

    /// `GET /v1/workers`.
    pub async fn workers(&self) -> Result<WorkerList, GatewayError> {
        self.json(Call::get("list the workers", "/v1/workers"))
            .await
    }

    /// `GET /v1/workers/{id}`.
    pub async fn worker(&self, id: &WorkerId) -> Result<WorkerView, GatewayError> {
        let call = Call::get("show the worker", worker_path(id));
        self.worker_call(call, id).await
    }

    /// `GET /v1/workers/{id}/explanation`: why the worker gets no tasks, or that it does.
    pub async fn explain_worker(&self, id: &WorkerId) -> Result<Explanation, GatewayError> {
        let path = format!("{}/explanation", worker_path(id));
        self.json(Call::get("explain the worker", path)).await
    }

    /// `POST /v1/workers`. Never repeated after it may have arrived: the secret is shown once.
    pub async fn create_worker(&self, id: &WorkerId) -> Result<CreatedWorker, GatewayError> {
        let action = "enrol the worker";
        let call = Call::new(action, Method::POST, "/v1/workers", Repeat::OnlyUnsent)
            .with_json(&CreateWorker { id: id.clone() });
        let created: CreatedWorker = self.json(call).await?;
        self.expect_subject(action, &created.id, id)?;
        Ok(created)
    }

    /// `POST /v1/appraisal-policy:reload`: the gateway reads its policy's file again.
    pub async fn reload_appraisal_policy(&self) -> Result<AppraisalPolicyView, GatewayError> {
        let action = "reload the appraisal policy";
        let path = "/v1/appraisal-policy:reload";
        self.json(Call::new(action, Method::POST, path, Repeat::Safe))
            .await
    }

    /// `POST /v1/workers/{id}/drain`: no new leases; running tasks finish or are released.
    pub async fn drain_worker(&self, id: &WorkerId) -> Result<WorkerView, GatewayError> {
        let path = format!("{}/drain", worker_path(id));
        let call = Call::new("drain the worker", Method::POST, path, Repeat::Safe);
        self.worker_call(call, id).await
    }

    /// `POST /v1/workers/{id}/undrain`.
    pub async fn undrain_worker(&self, id: &WorkerId) -> Result<WorkerView, GatewayError> {
        let path = format!("{}/undrain", worker_path(id));
        let call = Call::new("undrain the worker", Method::POST, path, Repeat::Safe);
        self.worker_call(call, id).await
    }

    /// `DELETE /v1/workers/{id}`: its enrolment secret admits nobody any more.
    pub async fn delete_worker(&self, id: &WorkerId) -> Result<(), GatewayError> {
        let path = worker_path(id);
        let call = Call::new(
            "delete the worker",
            Method::DELETE,
            path,
            Repeat::OnlyUnsent,
        );
        self.bytes(&call).await.map(drop)
    }

    /// `GET /v1/workers/{id}/attestation`: the record of its present session, as JSON for `cocoon-attest`.
    pub async fn worker_attestation(&self, id: &WorkerId) -> Result<String, GatewayError> {
        let path = format!("{}/attestation", worker_path(id));
        self.record(Call::get("give the attestation record", path))
            .await
    }

    async fn worker_call(&self, call: Call, id: &WorkerId) -> Result<WorkerView, GatewayError> {
        let action = call.action;
        let worker: WorkerView = self.json(call).await?;
        self.expect_subject(action, &worker.id, id)?;
        Ok(worker)
    }
}

fn worker_path(id: &WorkerId) -> String {
    format!("/v1/workers/{id}")
}
