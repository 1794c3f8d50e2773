//! The control stream when somebody does not keep to it.

use std::{convert::Infallible, time::Duration};

use attestation::ErrorCode;
use bytes::Bytes;
use channel::{
    ControlError, ControlReceiver, ControlSender, Frame, FrameError, FrameKind, GatewayMessage,
    PROFILE, WorkerHttp, WorkerMessage, accept_control,
};
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Empty, Full};
use hyper::{body::Incoming, service::service_fn};
use tokio::{sync::mpsc, task::JoinSet};

use super::world::World;

type Accepted = Result<
    (
        ControlSender<GatewayMessage>,
        ControlReceiver<WorkerMessage>,
    ),
    ControlError,
>;

/// A worker and what its gateway makes of each control stream.
struct Pair {
    http: WorkerHttp,
    accepted: mpsc::Receiver<Accepted>,
    _tasks: JoinSet<()>,
}

impl Pair {
    async fn new() -> Self {
        let (worker, gateway) = World::new().attested().await;
        let (_session, gateway, _rebinder) = gateway.into_parts();
        let (opened, accepted) = mpsc::channel(1);
        let service = service_fn(move |request: Request<Incoming>| {
            let opened = opened.clone();
            async move {
                let (accepted, response) = match accept_control(request) {
                    Ok((sender, receiver, response)) => {
                        (Ok((sender, receiver)), response.map(Either::Left))
                    }
                    Err(error) => {
                        let mut response = Response::new(Either::Right(Empty::<Bytes>::new()));
                        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                        (Err(error), response)
                    }
                };
                opened.send(accepted).await.unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(gateway.serve(service, std::future::pending()).await) });
        let (http, driver) = worker.into_http2().await.unwrap();
        tasks.spawn(async move { drop(driver.await) });
        Self {
            http,
            accepted,
            _tasks: tasks,
        }
    }

    /// Sends `body` as a control stream of this media type and yields what the gateway makes of it.
    async fn post(
        &mut self,
        media_type: &str,
        body: impl Into<Bytes>,
    ) -> (Response<Incoming>, Accepted) {
        let request = Request::post(PROFILE.control_path)
            .header("content-type", media_type)
            .body(Full::new(body.into()))
            .unwrap();
        (
            self.http.request(request).await.unwrap(),
            self.accepted.recv().await.unwrap(),
        )
    }

    /// What the gateway makes of these bytes on the control stream.
    async fn received(&mut self, body: impl Into<Bytes>) -> ControlError {
        let (response, accepted) = self.post(PROFILE.media_type_control, body).await;
        assert_eq!(response.status(), StatusCode::OK);
        let (_sender, mut receiver) = accepted.unwrap();
        receiver.recv().await.unwrap_err()
    }
}

fn frame(kind: FrameKind, body: &'static str) -> Bytes {
    Frame::new(kind, body.into()).unwrap().encode()
}

#[tokio::test]
async fn another_media_type_is_no_control_stream() {
    let mut pair = Pair::new().await;
    let (response, accepted) = pair.post("application/cbor", "").await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let Err(error) = accepted else {
        panic!("a refusal was due")
    };
    assert!(matches!(error, ControlError::MediaType));
    assert_eq!(error.code(), ErrorCode::ProfileUnsupported);
}

#[tokio::test]
async fn a_refused_control_stream_is_named() {
    let (worker, gateway) = World::new().attested().await;
    let (_session, gateway, _rebinder) = gateway.into_parts();
    let service = service_fn(|_: Request<Incoming>| async {
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = StatusCode::CONFLICT;
        Ok::<_, Infallible>(response)
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(gateway.serve(service, std::future::pending()).await) });
    let (http, driver) = worker.into_http2().await.unwrap();
    tasks.spawn(async move { drop(driver.await) });
    let error = http.open_control().await.unwrap_err();
    assert!(matches!(error, ControlError::Refused(StatusCode::CONFLICT)));
}

#[tokio::test]
async fn a_frame_in_the_wrong_direction_is_refused() {
    let error = Pair::new()
        .await
        .received(frame(FrameKind::Drain, "me"))
        .await;
    assert!(matches!(
        error,
        ControlError::UnexpectedFrame(FrameKind::Drain)
    ));
    assert_eq!(error.code(), ErrorCode::FrameUnexpected);
}

#[tokio::test]
async fn an_oversized_frame_is_refused() {
    let error = Pair::new().await.received(&[0, 4, 0, 0, 16][..]).await;
    assert!(matches!(
        error,
        ControlError::Frame(FrameError::Oversized { .. })
    ));
    assert_eq!(error.code(), ErrorCode::FrameTooLarge);
}

#[tokio::test]
async fn an_unknown_frame_is_refused() {
    let error = Pair::new().await.received(&[0, 0, 0, 0, 77][..]).await;
    assert!(matches!(
        error,
        ControlError::Frame(FrameError::UnknownKind(77))
    ));
}

#[tokio::test]
async fn a_truncated_frame_is_refused() {
    let error = Pair::new()
        .await
        .received(frame(FrameKind::Heartbeat, "alive").slice(..8))
        .await;
    assert!(matches!(error, ControlError::Frame(FrameError::Truncated)));
    assert_eq!(error.code(), ErrorCode::FrameMalformed);
}

#[tokio::test]
async fn device_evidence_comes_once_before_its_authenticator() {
    let twice = [
        frame(FrameKind::DeviceEvidence, "one"),
        frame(FrameKind::DeviceEvidence, "two"),
    ]
    .concat();
    let error = Pair::new().await.received(twice).await;
    assert!(matches!(
        error,
        ControlError::UnexpectedFrame(FrameKind::DeviceEvidence)
    ));

    let interrupted = [
        frame(FrameKind::DeviceEvidence, "one"),
        frame(FrameKind::Heartbeat, "alive"),
    ]
    .concat();
    let error = Pair::new().await.received(interrupted).await;
    assert!(matches!(
        error,
        ControlError::UnexpectedFrame(FrameKind::Heartbeat)
    ));

    let alone = frame(FrameKind::DeviceEvidence, "one");
    let error = Pair::new().await.received(alone).await;
    assert!(matches!(error, ControlError::Frame(FrameError::Truncated)));
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_it_is_sent() {
    let pair = Pair::new().await;
    let (up, _from_gateway) = pair.http.open_control().await.unwrap();
    let error = up
        .send(WorkerMessage::Heartbeat(vec![0; 256 * 1024].into()))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        ControlError::Frame(FrameError::Oversized { .. })
    ));
}

#[tokio::test]
async fn a_queue_that_nobody_empties_fills_up_and_says_so() {
    let mut pair = Pair::new().await;
    let (up, _from_gateway) = pair.http.open_control().await.unwrap();
    let (down, from_worker) = pair.accepted.recv().await.unwrap().unwrap();
    // 100 KiB each: the flow-control windows and the send buffer hold a few, the queue a few more.
    let heartbeat = || WorkerMessage::Heartbeat(vec![0; 100 * 1024].into());
    let filled = async { while up.send(heartbeat()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_millis(300), filled)
        .await
        .unwrap_err();
    let error = up.try_send(heartbeat()).unwrap_err();
    assert!(matches!(error, ControlError::Full));
    assert_eq!(error.code(), ErrorCode::Overloaded);
    drop((down, from_worker));
    tokio::time::timeout(Duration::from_secs(10), up.closed())
        .await
        .unwrap();
    assert!(matches!(
        up.try_send(heartbeat()),
        Err(ControlError::Closed)
    ));
}
