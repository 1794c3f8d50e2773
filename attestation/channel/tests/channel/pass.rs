//! What an honest worker and its gateway can do.

use std::convert::Infallible;

use attestation::Role;
use bytes::Bytes;
use channel::{
    AttestedGateway, AttestedWorker, ControlReceiver, ControlSender, GatewayMessage,
    GatewayRebinder, Outcome, WorkerMessage, accept_control,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{body::Incoming, service::service_fn};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

use super::world::{Honest, Strict, World, verdict};

#[tokio::test]
async fn an_honest_worker_passes_the_gate() {
    let world = World::new();
    let (worker, gateway) = world.attested().await;
    assert_eq!(worker.verdict(), &verdict());
    assert_eq!(gateway.verdict(), &verdict());
    assert_eq!(gateway.session(), "the session");
    assert_eq!(
        worker.binding(),
        gateway.binding(),
        "both sides see the same connection"
    );
    assert_eq!(worker.binding().role, Role::Client);
    assert_eq!(worker.binding().attester_spki, world.worker.spki());
    assert_eq!(worker.binding().peer_spki, world.gateway.spki());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_over_loopback_sockets() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let honest = Honest {
        device_evidence: Some(vec![7; 150 * 1024]),
    };
    let (worker, gateway) = tokio::join!(
        async {
            world
                .worker
                .connect(near)
                .await
                .unwrap()
                .attest(&honest)
                .await
        },
        async {
            world
                .gateway
                .accept(far)
                .await
                .unwrap()
                .attest(&Strict)
                .await
        },
    );
    let (worker, gateway) = (worker.unwrap(), gateway.unwrap());
    let mut tasks = JoinSet::new();
    let _gateway = serve(&mut tasks, gateway, std::future::pending());
    let http = start(&mut tasks, worker).await;
    let input = Bytes::from(vec![42; 20 * 1024 * 1024]);
    let request = Request::put("/v1/outputs/0")
        .body(Full::new(input.clone()))
        .unwrap();
    let response = http.request(request).await.unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        input
    );
}

#[tokio::test]
async fn every_connection_has_its_own_binding() {
    let world = World::new();
    let (first, _gateway) = world.attested().await;
    let (second, _gateway) = world.attested().await;
    assert_ne!(first.binding().exported, second.binding().exported);
}

#[tokio::test]
async fn device_evidence_travels_beside_the_authenticator() {
    let world = World::new();
    let (worker, gateway) = world.connect().await;
    let honest = Honest {
        device_evidence: Some(vec![7; 150 * 1024]),
    };
    let (worker, gateway) = tokio::join!(worker.attest(&honest), gateway.attest(&Strict));
    worker.unwrap();
    gateway.unwrap();
}

/// What the gateway's handler hands to the session's own loop.
type Control = (
    ControlSender<GatewayMessage>,
    ControlReceiver<WorkerMessage>,
);

/// Serves an echo and the control stream.
fn serve(
    tasks: &mut JoinSet<()>,
    gateway: AttestedGateway<String>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> (GatewayRebinder, mpsc::Receiver<Control>) {
    let (_session, http, rebinder) = gateway.into_parts();
    let (opened, controls) = mpsc::channel(1);
    let service = service_fn(move |request: Request<Incoming>| {
        let opened = opened.clone();
        async move {
            if request.uri().path() == "/v1/control" {
                let (sender, receiver, response) = accept_control(request).unwrap();
                opened.send((sender, receiver)).await.unwrap();
                return Ok::<_, Infallible>(response.map(Either::Left));
            }
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok(Response::new(Either::Right(Full::new(body))))
        }
    });
    tasks.spawn(async move { http.serve(service, shutdown).await.unwrap() });
    (rebinder, controls)
}

/// A worker that dies while its request waits leaves no handler behind, which would take work for it.
#[tokio::test]
async fn a_lost_workers_handlers_end_with_its_connection() {
    let world = World::new();
    let (worker, gateway) = world.attested().await;
    let (_session, http, _rebinder) = gateway.into_parts();
    let (entered, mut entries) = mpsc::channel(1);
    let service = service_fn(move |_: Request<Incoming>| {
        let entered = entered.clone();
        async move {
            entered.send(()).await.unwrap();
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
        }
    });
    let mut worker_tasks = JoinSet::new();
    let http_of_worker = start(&mut worker_tasks, worker).await;
    worker_tasks.spawn(async move {
        let request = Request::post("/v1/leases").body(Full::new(Bytes::new()));
        let _ = http_of_worker.request(request.unwrap()).await;
    });
    let served = http.serve(service, std::future::pending());
    let dies = async {
        entries.recv().await.unwrap();
        worker_tasks.shutdown().await;
    };
    // Without a limit the test itself would never end: that is how it fails.
    let limit = std::time::Duration::from_secs(30);
    let (ended, ()) = tokio::join!(tokio::time::timeout(limit, served), dies);
    assert!(ended.is_ok(), "the handler outlived the connection");
}

async fn start(tasks: &mut JoinSet<()>, worker: AttestedWorker) -> channel::WorkerHttp {
    let (http, driver) = worker.into_http2().await.unwrap();
    tasks.spawn(async move { driver.await.unwrap() });
    http
}

#[tokio::test]
async fn http2_follows_on_the_same_connection() {
    let (worker, gateway) = World::new().attested().await;
    let mut tasks = JoinSet::new();
    let _gateway = serve(&mut tasks, gateway, std::future::pending());
    let http = start(&mut tasks, worker).await;

    // Larger than every window, so that flow control is at work.
    let output = Bytes::from(vec![42; 3 * 1024 * 1024]);
    let request = Request::put("/v1/outputs/0")
        .body(Full::new(output.clone()))
        .unwrap();
    let response = http.request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        output
    );
}

#[tokio::test]
async fn requests_of_one_worker_run_side_by_side() {
    let (worker, gateway) = World::new().attested().await;
    let mut tasks = JoinSet::new();
    let _gateway = serve(&mut tasks, gateway, std::future::pending());
    let http = start(&mut tasks, worker).await;

    let echo = |index: u8| {
        let http = http.clone();
        async move {
            let request = Request::post("/v1/leases")
                .body(Full::new(Bytes::from(vec![index; 1000])))
                .unwrap();
            let body = http
                .request(request)
                .await
                .unwrap()
                .into_body()
                .collect()
                .await
                .unwrap();
            assert_eq!(body.to_bytes(), vec![index; 1000]);
        }
    };
    futures_util::future::join_all((0..200).map(echo)).await;
}

#[tokio::test]
async fn a_live_connection_is_attested_again_over_the_control_stream() {
    let (worker, gateway) = World::new().attested().await;
    let mut tasks = JoinSet::new();
    let (mut gateway, mut controls) = serve(&mut tasks, gateway, std::future::pending());
    let http = start(&mut tasks, worker).await;
    let worker = http.rebinder();
    let (up, mut from_gateway) = http.open_control().await.unwrap();
    let (down, mut from_worker) = controls.recv().await.unwrap();

    for round in 0..3 {
        down.send(GatewayMessage::AuthRequest(gateway.request().unwrap()))
            .await
            .unwrap();
        let Some(GatewayMessage::AuthRequest(request)) = from_gateway.recv().await.unwrap() else {
            panic!("a request was due");
        };
        let honest = Honest {
            device_evidence: (round == 1).then(|| vec![1; 200 * 1024]),
        };
        up.send(WorkerMessage::Answer(
            worker.answer(&request, &honest).await.unwrap(),
        ))
        .await
        .unwrap();
        let Some(WorkerMessage::Answer(answer)) = from_worker.recv().await.unwrap() else {
            panic!("an answer was due");
        };
        let presented = gateway.verify(answer).unwrap();
        let admitted = channel::Admission::admit(&Strict, presented).await.unwrap();
        down.send(GatewayMessage::Outcome(Outcome::Admitted(admitted.verdict)))
            .await
            .unwrap();
        let outcome = from_gateway.recv().await.unwrap();
        assert_eq!(
            outcome,
            Some(GatewayMessage::Outcome(Outcome::Admitted(verdict())))
        );
    }
}

#[tokio::test]
async fn the_control_stream_carries_both_directions_and_ends_with_its_sender() {
    let (worker, gateway) = World::new().attested().await;
    let mut tasks = JoinSet::new();
    let (_gateway, mut controls) = serve(&mut tasks, gateway, std::future::pending());
    let http = start(&mut tasks, worker).await;
    let (up, mut from_gateway) = http.open_control().await.unwrap();
    let (down, mut from_worker) = controls.recv().await.unwrap();

    let ups = [
        WorkerMessage::Heartbeat("alive".into()),
        WorkerMessage::Renew("leases".into()),
    ];
    for message in ups {
        up.send(message.clone()).await.unwrap();
        assert_eq!(from_worker.recv().await.unwrap(), Some(message));
    }
    let downs = [
        GatewayMessage::Renewed("renewed".into()),
        GatewayMessage::Cancel("stop".into()),
        GatewayMessage::Drain("enough".into()),
        GatewayMessage::Outcome(Outcome::Refused(attestation::ErrorCode::PlatformRevoked)),
    ];
    for message in downs {
        down.try_send(message.clone()).unwrap();
        assert_eq!(from_gateway.recv().await.unwrap(), Some(message));
    }
    drop(down);
    assert_eq!(from_gateway.recv().await.unwrap(), None);
    drop(up);
    assert_eq!(from_worker.recv().await.unwrap(), None);
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight() {
    let (worker, gateway) = World::new().attested().await;
    let mut tasks = JoinSet::new();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (_gateway, mut controls) = serve(&mut tasks, gateway, async { drop(stopped.await) });
    let http = start(&mut tasks, worker).await;
    let (up, mut from_gateway) = http.open_control().await.unwrap();
    let (down, from_worker) = controls.recv().await.unwrap();

    stop.send(()).unwrap();
    down.send(GatewayMessage::Drain("going".into()))
        .await
        .unwrap();
    assert_eq!(
        from_gateway.recv().await.unwrap(),
        Some(GatewayMessage::Drain("going".into()))
    );
    drop(down);
    assert_eq!(from_gateway.recv().await.unwrap(), None);
    drop((up, from_worker, from_gateway));
    tasks.join_next().await.unwrap().unwrap();
    tasks.join_next().await.unwrap().unwrap();
    assert!(http.is_closed());
}

#[tokio::test]
async fn dropping_the_driver_closes_the_connection_although_a_rebinder_lives() {
    let (worker, gateway) = World::new().attested().await;
    let (_session, gateway_http, _gateway) = gateway.into_parts();
    let mut tasks = JoinSet::new();
    let service = service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    tasks.spawn(async move { drop(gateway_http.serve(service, std::future::pending()).await) });
    let (http, driver) = worker.into_http2().await.unwrap();
    let rebinder = http.rebinder();
    drop(driver);
    tasks.join_next().await.unwrap().unwrap();
    drop(rebinder);
}
