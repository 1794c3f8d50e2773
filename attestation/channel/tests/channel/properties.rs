//! Whatever bytes arrive: no panic, and nothing but the very authenticator verifies.

use std::cell::RefCell;

use bytes::Bytes;
use channel::{
    Answer, AuthRequest, Frame, FrameDecoder, FrameKind, GatewayRebinder, Outcome, Verdict,
    WorkerRebinder,
};
use proptest::{prelude::*, test_runner::TestRunner};

use super::world::{Honest, World, verdict};

/// A live connection's two rebinders and the runtime it lives on.
struct Live {
    runtime: tokio::runtime::Runtime,
    worker: WorkerRebinder,
    gateway: GatewayRebinder,
    _alive: Box<dyn std::any::Any>,
}

impl Live {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (worker, gateway, alive) = runtime.block_on(async {
            let (worker, gateway) = World::new().attested().await;
            let (_session, gateway_http, gateway) = gateway.into_parts();
            let (http, driver) = worker.into_http2().await.unwrap();
            (
                http.rebinder(),
                gateway,
                Box::new((http, driver, gateway_http)),
            )
        });
        Self {
            runtime,
            worker,
            gateway,
            _alive: alive,
        }
    }

    /// A fresh request's answer.
    fn answer(&mut self) -> Answer {
        let request = self.gateway.request().unwrap();
        self.runtime
            .block_on(self.worker.answer(&request, &Honest::default()))
            .unwrap()
    }
}

#[test]
fn no_byte_of_an_authenticator_can_change() {
    let mut live = Live::new();
    let length = live.answer().authenticator().len();
    let mut refused = 0;
    // Signatures vary in length by a byte or two, so the last positions are missed now and then.
    for index in 0..length {
        let answer = live.answer();
        let mut authenticator = answer.authenticator().to_vec();
        let Some(byte) = authenticator.get_mut(index) else {
            continue;
        };
        *byte ^= 1 << (index % 8);
        assert!(
            live.gateway
                .verify(Answer::new(authenticator.into(), None))
                .is_err(),
            "byte {index} of {length}"
        );
        refused += 1;
    }
    assert!(refused + 4 > length);
    let answer = live.answer();
    live.gateway.verify(answer).unwrap();
}

#[test]
fn no_mutated_authenticator_verifies() {
    let live = RefCell::new(Live::new());
    let mutation = (any::<prop::sample::Index>(), 1..=u8::MAX);
    let tried = TestRunner::default().run(&mutation, |(index, change)| {
        let mut live = live.borrow_mut();
        let mut authenticator = live.answer().authenticator().to_vec();
        let index = index.index(authenticator.len());
        authenticator[index] ^= change;
        prop_assert!(
            live.gateway
                .verify(Answer::new(authenticator.into(), None))
                .is_err()
        );
        Ok(())
    });
    tried.unwrap();
}

#[test]
fn no_cut_or_lengthened_authenticator_verifies() {
    let live = RefCell::new(Live::new());
    let change = (
        any::<prop::sample::Index>(),
        prop::collection::vec(any::<u8>(), 0..40),
    );
    let tried = TestRunner::default().run(&change, |(end, tail)| {
        let mut live = live.borrow_mut();
        let answer = live.answer();
        let end = end.index(answer.authenticator().len());
        let mutated = [&answer.authenticator()[..end], &tail].concat();
        prop_assume!(mutated != *answer.authenticator());
        prop_assert!(
            live.gateway
                .verify(Answer::new(mutated.into(), None))
                .is_err()
        );
        Ok(())
    });
    tried.unwrap();
}

#[test]
fn arbitrary_bytes_are_no_authenticator() {
    let live = RefCell::new(Live::new());
    let bytes = prop::collection::vec(any::<u8>(), 0..2000);
    let tried = TestRunner::default().run(&bytes, |bytes| {
        let mut live = live.borrow_mut();
        let _request = live.gateway.request().unwrap();
        prop_assert!(
            live.gateway
                .verify(Answer::new(bytes.into(), None))
                .is_err()
        );
        Ok(())
    });
    tried.unwrap();
}

/// Handshake messages with true lengths around arbitrary content, which get further than noise does.
fn handshake_messages() -> impl Strategy<Value = Vec<u8>> {
    let content = prop::collection::vec(prop_oneof![Just(0), Just(32), any::<u8>()], 0..120);
    prop::collection::vec(
        (
            prop_oneof![Just(11), Just(15), Just(20), any::<u8>()],
            content,
        ),
        0..4,
    )
    .prop_map(|messages| {
        let message = |(kind, content): (u8, Vec<u8>)| {
            let length = u32::try_from(content.len()).unwrap().to_be_bytes();
            [&[kind], &length[1..], &content].concat()
        };
        messages.into_iter().flat_map(message).collect()
    })
}

#[test]
fn arbitrary_handshake_messages_are_no_authenticator() {
    let live = RefCell::new(Live::new());
    let tried = TestRunner::default().run(&handshake_messages(), |bytes| {
        let mut live = live.borrow_mut();
        let _request = live.gateway.request().unwrap();
        prop_assert!(
            live.gateway
                .verify(Answer::new(bytes.into(), None))
                .is_err()
        );
        Ok(())
    });
    tried.unwrap();
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_request(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(AuthRequest::parse(&bytes).is_err());
    }

    #[test]
    fn an_outcome_is_what_writes_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(outcome) = Outcome::parse(&bytes) {
            prop_assert_eq!(outcome.encode().unwrap(), Bytes::from(bytes));
        }
    }

    #[test]
    fn an_outcome_survives_the_wire(reattest_by_s: u32, max_age_s: u32, session_id in "[!-~]{1,64}") {
        let outcome = Outcome::Admitted(Verdict { session_id, reattest_by_s, max_age_s });
        prop_assert_eq!(Outcome::parse(&outcome.encode().unwrap()).unwrap(), outcome);
    }

    #[test]
    fn a_session_id_is_visible_ascii(session_id in ".{0,80}") {
        let allowed = (1..=64).contains(&session_id.len()) && session_id.bytes().all(|byte| byte.is_ascii_graphic());
        let outcome = Outcome::Admitted(Verdict { session_id, ..verdict() });
        prop_assert_eq!(outcome.encode().is_ok(), allowed);
    }

    #[test]
    fn arbitrary_pieces_never_panic_the_frame_decoder(
        pieces in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0), 1..21_u8, any::<u8>()], 0..40), 0..20)
    ) {
        let mut decoder = FrameDecoder::default();
        for piece in &pieces {
            decoder.push(piece);
            while let Ok(Some(frame)) = decoder.next_frame() {
                prop_assert!(frame.kind().body_bytes_max() >= frame.into_body().len());
            }
        }
    }

    #[test]
    fn frames_read_alike_in_one_piece_and_in_many(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..6),
        step in 1..60_usize,
    ) {
        let frames: Vec<_> =
            bodies.into_iter().map(|body| Frame::new(FrameKind::Heartbeat, body.into()).unwrap()).collect();
        let wire: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        let mut decoder = FrameDecoder::default();
        let mut seen = Vec::new();
        for piece in wire.chunks(step) {
            decoder.push(piece);
            while let Some(frame) = decoder.next_frame().unwrap() {
                seen.push(frame);
            }
        }
        decoder.finish().unwrap();
        prop_assert_eq!(seen, frames);
    }
}
