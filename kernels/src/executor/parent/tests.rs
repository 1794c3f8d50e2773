//! The agent's end against children that misbehave: each work gets one outcome, whatever happens.

use std::cell::Cell;
use std::thread;

use bytes::Bytes;
use protocol::Sha256Digest;
use protocol::task::{InputDescriptor, TaskBody};

use super::super::descriptor::DescriptorReader;
use super::super::{Answer, CpuExecutor, Executor, ExecutorKind, PlacedWork, serve};
use super::*;

const LIMIT: Duration = Duration::from_secs(20);
/// For a child that says nothing more: waited out in full.
const SHORT: Duration = Duration::from_millis(200);
/// The same where the child answers before it falls silent, which takes a while on a busy machine.
const SILENCE: Duration = Duration::from_secs(2);

#[expect(clippy::disallowed_methods, reason = "a test is its own world")]
fn clock() -> Clock {
    Arc::new(Instant::now)
}

fn identity(in_order: bool) -> Identity {
    Identity {
        kind: ExecutorKind::Cpu,
        module_digest: Sha256Digest::from_bytes([7; 32]),
        model_digest: None,
        in_order,
        device: None,
        libraries: Vec::new(),
    }
}

/// Runs `script` as the child once it has read the greeting.
fn child_that(
    script: impl FnOnce(&mut DescriptorReader<'_>, &UnixStream) + Send + 'static,
) -> UnixStream {
    let (socket, other) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        let mut source = DescriptorReader::new(&other);
        let _: Option<Command> = frame::read(&mut source, COMMAND_BYTES_MAX).unwrap();
        script(&mut source, &other);
    });
    socket
}

fn say(mut socket: &UnixStream, reply: &Reply) {
    let frame = frame::encode(reply, REPLY_BYTES_MAX).unwrap();
    socket.write_all(&frame).unwrap();
}

fn ready(version: u32, in_order: bool) -> Reply {
    Reply::Ready {
        version,
        identity: identity(in_order),
    }
}

const fn done(request: u64, index: u32) -> Reply {
    Reply::Answered {
        request,
        index,
        fault: None,
    }
}

fn failed(index: u32, fault: Fault) -> Reply {
    Reply::Answered {
        request: 1,
        index,
        fault: Some(fault),
    }
}

fn works(count: usize) -> Vec<Work> {
    let body = TaskBody {
        operation: "sha256_batch".to_owned(),
        version: 1,
        parameters: serde_json::Map::new(),
        inputs: vec![InputDescriptor::of(b"abc")],
    };
    let body = Bytes::from(body.canonical().unwrap());
    let work = Work::parse(body, vec![Bytes::from_static(b"abc")]).unwrap();
    vec![work; count]
}

/// All outcomes by index, and how the batch ended.
fn outcomes(
    connection: &mut Connection,
    works: &[Work],
    limit: Duration,
) -> (Vec<Outcome>, Result<(), ConnectionError>) {
    let mut seen: Vec<Option<Outcome>> = vec![None; works.len()];
    let end = connection.run(works, limit, &mut |index, outcome| {
        let before = seen[index].replace(outcome);
        assert_eq!(before, None, "work {index} has two outcomes");
    });
    let seen = seen.into_iter().map(|outcome| outcome.expect("an outcome"));
    (seen.collect(), end)
}

/// Three works given to a child that sends `replies` after the run's command and then keeps the socket open.
fn after(in_order: bool, replies: Vec<Reply>, limit: Duration) -> (Vec<Outcome>, ConnectionError) {
    let socket = child_that(move |source, socket| {
        say(socket, &ready(VERSION, in_order));
        let _: Option<Command> = frame::read(source, COMMAND_BYTES_MAX).unwrap();
        for reply in &replies {
            say(socket, reply);
        }
        let _: Result<Option<Command>, _> = frame::read(source, COMMAND_BYTES_MAX);
    });
    let mut connection = Connection::open(socket, clock(), LIMIT).unwrap();
    let (seen, end) = outcomes(&mut connection, &works(3), limit);
    let (again, refused) = outcomes(&mut connection, &works(2), LIMIT);
    assert!(matches!(refused, Err(ConnectionError::Closed)));
    assert_eq!(again, [Outcome::NotRun, Outcome::NotRun]);
    (seen, end.unwrap_err())
}

fn zeros() -> Outcome {
    Outcome::Done(vec![0; 32])
}

fn lost(error: &ConnectionError) -> Outcome {
    Outcome::Lost(error.to_string())
}

#[test]
fn greetings_that_do_not_fit_are_refused_by_name() {
    let opened = |replies: Vec<Reply>| {
        let socket = child_that(move |_, socket| {
            for reply in &replies {
                say(socket, reply);
            }
        });
        Connection::open(socket, clock(), LIMIT)
    };
    assert_eq!(
        opened(vec![ready(VERSION, true)]).unwrap().identity(),
        &identity(true)
    );
    assert!(matches!(
        opened(vec![ready(VERSION + 1, true)]),
        Err(ConnectionError::Version { seen, wanted: VERSION }) if seen == VERSION + 1
    ));
    assert!(matches!(
        opened(vec![done(1, 0)]),
        Err(ConnectionError::Greeting)
    ));
    let unavailable = Reply::Unavailable {
        reason: "no\u{7}device".to_owned(),
    };
    assert!(matches!(
        opened(vec![unavailable]),
        Err(ConnectionError::Unavailable(reason)) if reason == "no device"
    ));
    assert!(matches!(opened(vec![]), Err(ConnectionError::Closed)));
    let (socket, _silent) = UnixStream::pair().unwrap();
    assert!(matches!(
        Connection::open(socket, clock(), SHORT),
        Err(ConnectionError::TimedOut { limit: SHORT })
    ));
}

#[test]
fn a_silent_child_loses_the_work_it_was_running() {
    let (seen, error) = after(true, vec![done(1, 0)], SILENCE);
    assert!(matches!(
        error,
        ConnectionError::TimedOut { limit: SILENCE }
    ));
    assert_eq!(seen, [zeros(), lost(&error), Outcome::NotRun]);
}

#[test]
fn without_an_order_every_unanswered_work_may_have_been_running() {
    let (seen, error) = after(false, vec![done(1, 1)], SILENCE);
    assert!(matches!(error, ConnectionError::TimedOut { .. }));
    assert_eq!(seen, [lost(&error), zeros(), lost(&error)]);
}

#[test]
fn answers_that_nothing_waits_for_are_refused() {
    let misplaced = [
        (true, vec![done(2, 0)]),
        (true, vec![done(1, 1)]),
        (true, vec![done(1, 3)]),
        (true, vec![done(1, u32::MAX)]),
        (false, vec![done(0, 0)]),
        (false, vec![done(1, 3)]),
        (false, vec![done(1, 2), done(1, 2)]),
    ];
    for (in_order, replies) in misplaced {
        let (_, error) = after(in_order, replies, LIMIT);
        assert!(matches!(error, ConnectionError::Answer { .. }), "{error}");
    }
    let (_, error) = after(true, vec![done(1, 0), ready(VERSION, true)], LIMIT);
    assert!(matches!(error, ConnectionError::Greeting));
}

#[test]
fn faults_are_told_apart() {
    let task = failed(0, Fault::Task("bad\u{7} input".to_owned()));
    let executor = failed(1, Fault::Executor("lost".to_owned()));
    let faults = [
        Outcome::TaskFault("bad  input".to_owned()),
        Outcome::ExecutorFault("lost".to_owned()),
    ];
    let (seen, error) = after(true, vec![task, executor], LIMIT);
    assert!(matches!(&error, ConnectionError::ExecutorFault(text) if text == "lost"));
    assert_eq!((&seen[..2], &seen[2]), (&faults[..], &Outcome::NotRun));
    let executor = failed(1, Fault::Executor("lost".to_owned()));
    let (seen, error) = after(false, vec![executor], LIMIT);
    assert_eq!(seen, [lost(&error), faults[1].clone(), lost(&error)]);
}

/// Has no memory for the first work of a run.
struct Full;

impl Executor for Full {
    fn identity(&self) -> Identity {
        identity(true)
    }

    fn run(&mut self, works: &mut [PlacedWork<'_>], answer: Answer<'_>) {
        answer(0, Err(Fault::Here("no\tmemory".to_owned())));
        for index in 1..works.len() {
            answer(index, Ok(()));
        }
    }
}

#[test]
fn a_child_that_cannot_here_and_now_stays() {
    let (socket, other) = UnixStream::pair().unwrap();
    let child = thread::spawn(move || serve(&other, &mut Full));
    let mut connection = Connection::open(socket, clock(), LIMIT).unwrap();
    for _ in 0..2 {
        let (seen, end) = outcomes(&mut connection, &works(2), LIMIT);
        end.unwrap();
        assert_eq!(seen, [Outcome::NotHere("no memory".to_owned()), zeros()]);
    }
    connection.shutdown(LIMIT).unwrap();
    child.join().unwrap().unwrap();
}

#[test]
fn malformed_replies_are_refused() {
    let replied = |bytes: &'static [u8]| {
        let socket = child_that(move |source, mut socket| {
            say(socket, &ready(VERSION, true));
            let _: Option<Command> = frame::read(source, COMMAND_BYTES_MAX).unwrap();
            socket.write_all(bytes).unwrap();
        });
        let mut connection = Connection::open(socket, clock(), LIMIT).unwrap();
        outcomes(&mut connection, &works(1), LIMIT).1.unwrap_err()
    };
    assert!(matches!(
        replied(&[0xff; 9]),
        ConnectionError::Frame(FrameError::TooLarge {
            max: REPLY_BYTES_MAX,
            ..
        })
    ));
    assert!(matches!(
        replied(b"\0\0\0\x02{}"),
        ConnectionError::Frame(FrameError::Message(_))
    ));
    assert!(matches!(replied(b"\0\0\0\x02{"), ConnectionError::Closed));
    assert!(matches!(replied(b""), ConnectionError::Closed));
}

/// The deadline is for the whole answer: a byte now and then does not extend it.
#[test]
fn a_dripping_child_is_timed_out() {
    let socket = child_that(|_, mut socket| {
        for _ in 0..1_000 {
            if socket.write_all(&[0]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    let dripped = Connection::open(socket, clock(), SHORT);
    // Four zero bytes are an empty frame, which is no message: what counts is that it ends.
    assert!(dripped.is_err());
    let socket = child_that(|_, mut socket| {
        socket.write_all(&[0, 0, 0x0f, 0xff]).unwrap();
        while socket.write_all(&[0]).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(matches!(
        Connection::open(socket, clock(), SHORT),
        Err(ConnectionError::TimedOut { .. })
    ));
}

/// Panics where an output is not zero before it is written.
struct Jealous;

impl Executor for Jealous {
    fn identity(&self) -> Identity {
        identity(true)
    }

    fn run(&mut self, works: &mut [PlacedWork<'_>], answer: Answer<'_>) {
        for (index, work) in works.iter_mut().enumerate() {
            assert_eq!(work.inputs, [b"abc"]);
            assert!(work.output.iter().all(|byte| *byte == 0));
            work.output.fill(0xff);
            answer(index, Ok(()));
        }
    }
}

#[test]
fn no_run_finds_anothers_bytes_in_the_arena() {
    let (socket, other) = UnixStream::pair().unwrap();
    let child = thread::spawn(move || serve(&other, &mut Jealous));
    let mut connection = Connection::open(socket, clock(), LIMIT).unwrap();
    // Of different lengths, so that outputs of one run fall where inputs of another lay.
    for count in [3, 1, 1_500, 2] {
        let (seen, end) = outcomes(&mut connection, &works(count), LIMIT);
        end.unwrap();
        assert!(
            seen.iter()
                .all(|outcome| *outcome == Outcome::Done(vec![0xff; 32]))
        );
    }
    connection.shutdown(LIMIT).unwrap();
    child.join().unwrap().unwrap();
}

#[test]
fn each_run_of_a_batch_tells_when_it_is_submitted() {
    let (socket, other) = UnixStream::pair().unwrap();
    thread::spawn(move || serve(&other, &mut CpuExecutor::new(Sha256Digest::of(b""))));
    let mut connection = Connection::open(socket, clock(), LIMIT).unwrap();
    let (submitted, mut seen) = (Cell::new(0), Vec::new());
    let count = run::BATCH_WORKS_MAX + 2;
    let answer = &mut |_, _| seen.push(submitted.get());
    let tell = &mut || submitted.set(submitted.get() + 1);
    connection
        .run_observed(&works(count), LIMIT, tell, answer)
        .unwrap();
    let (first, second) = seen.split_at(run::BATCH_WORKS_MAX);
    assert!(first.iter().all(|submitted| *submitted == 1));
    assert_eq!(second, [2, 2]);
}

/// Texts of several works are computed together, so no order is asked of their answers.
#[test]
fn works_with_a_model_answer_in_any_order_and_the_others_in_theirs() {
    let text = TaskBody {
        operation: "embed".to_owned(),
        version: 1,
        parameters: serde_json::from_str(r#"{"model": "all-MiniLM-L6-v2"}"#).unwrap(),
        inputs: vec![InputDescriptor::of(b"abc")],
    };
    let text = text.canonical().unwrap().into();
    let text = Work::parse(text, vec![Bytes::from_static(b"abc")]).unwrap();
    assert!(text.has_model() && !works(1)[0].has_model());
    let ran = |works: Vec<Work>| {
        let socket = child_that(move |source, socket| {
            say(socket, &ready(VERSION, true));
            let _: Option<Command> = frame::read(source, COMMAND_BYTES_MAX).unwrap();
            for reply in [done(1, 1), done(1, 0)] {
                say(socket, &reply);
            }
            let _: Result<Option<Command>, _> = frame::read(source, COMMAND_BYTES_MAX);
        });
        let mut connection = Connection::open(socket, clock(), LIMIT).unwrap();
        outcomes(&mut connection, &works, LIMIT).1
    };
    ran(vec![text.clone(), text]).unwrap();
    assert!(matches!(
        ran(works(2)),
        Err(ConnectionError::Answer { index: 1, .. })
    ));
}

#[test]
fn a_work_larger_than_the_arena_is_its_own_fault_alone() {
    let (socket, other) = UnixStream::pair().unwrap();
    let executor = CpuExecutor::new(Sha256Digest::of(b""));
    thread::spawn(move || serve(&other, &mut executor.clone()));
    let mut connection = Connection::open(socket, clock(), LIMIT).unwrap();
    let gibibyte = Bytes::from(vec![0; 1 << 30]);
    let inputs = vec![
        InputDescriptor {
            sha256: Sha256Digest::of(b""),
            bytes: 1 << 30
        };
        4
    ];
    let body = TaskBody {
        operation: "sha256_batch".to_owned(),
        version: 1,
        parameters: serde_json::Map::new(),
        inputs,
    };
    let body = Bytes::from(body.canonical().unwrap());
    let mut batch = works(3);
    batch[1] = Work::parse(body, vec![gibibyte; 4]).unwrap();
    let (seen, end) = outcomes(&mut connection, &batch, LIMIT);
    end.unwrap();
    let digest = Outcome::Done(Sha256Digest::of(b"abc").as_bytes().to_vec());
    assert_eq!((&seen[0], &seen[2]), (&digest, &digest));
    assert!(matches!(&seen[1], Outcome::TaskFault(text) if text.contains("4294967424 bytes")));
}
