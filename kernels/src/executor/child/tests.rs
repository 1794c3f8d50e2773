//! The child against agents that say what they should not.

use std::io::Read;
use std::net::Shutdown;
use std::thread::JoinHandle;

use bytes::Bytes;
use protocol::Sha256Digest;
use protocol::task::{InputDescriptor, TaskBody};

use super::super::arena::{ARENA_BYTES, Arena, ArenaRange};
use super::super::{Answer, CpuExecutor, Identity, descriptor};
use super::*;

/// An agent's end, with a child in a thread.
struct Agent {
    socket: UnixStream,
    arena: Arena,
    child: JoinHandle<Result<(), ServeError>>,
}

impl Agent {
    fn new() -> Self {
        Self::of(CpuExecutor::new(Sha256Digest::of(b"")))
    }

    fn of(mut executor: impl Executor + Send + 'static) -> Self {
        let (socket, other) = UnixStream::pair().unwrap();
        Self {
            socket,
            arena: Arena::create().unwrap(),
            child: thread::spawn(move || serve(&other, &mut executor)),
        }
    }

    fn greeted() -> Self {
        let mut agent = Self::new();
        agent.greet(VERSION);
        assert!(matches!(
            agent.reply(),
            Reply::Ready {
                version: VERSION,
                ..
            }
        ));
        agent
    }

    fn greet(&mut self, version: u32) {
        let hello = Command::Hello {
            version,
            arena_bytes: ARENA_BYTES,
        };
        self.tell_with_arena(&hello);
    }

    fn tell_with_arena(&mut self, command: &Command) {
        let frame = frame::encode(command, COMMAND_BYTES_MAX).unwrap();
        descriptor::send(&self.socket, &frame, self.arena.descriptor()).unwrap();
    }

    fn tell(&mut self, command: &Command) {
        let frame = frame::encode(command, COMMAND_BYTES_MAX).unwrap();
        self.socket.write_all(&frame).unwrap();
    }

    fn run(&mut self, works: Vec<Placement>) {
        self.tell(&Command::Run { request: 1, works });
    }

    fn reply(&mut self) -> Reply {
        frame::read(&mut self.socket, REPLY_BYTES_MAX)
            .unwrap()
            .unwrap()
    }

    fn end(self) -> Result<(), ServeError> {
        self.socket.shutdown(Shutdown::Write).unwrap();
        self.child.join().unwrap()
    }
}

fn transpose_body() -> Bytes {
    let body = TaskBody {
        operation: "transpose".to_owned(),
        version: 1,
        parameters: serde_json::from_str(r#"{"rows":1,"columns":2}"#).unwrap(),
        inputs: vec![InputDescriptor::of(&[0; 8])],
    };
    body.canonical().unwrap().into()
}

fn transpose(input: (u64, u64), output: (u64, u64)) -> Placement {
    let range = |(offset, bytes)| ArenaRange { offset, bytes };
    Placement {
        body: transpose_body().to_vec(),
        inputs: vec![range(input)],
        output: range(output),
    }
}

#[test]
fn what_fits_is_run_until_shutdown() {
    let mut agent = Agent::greeted();
    let (input, output) = ((0, 8), (64, 8));
    agent
        .arena
        .write(transpose(input, output).inputs[0], b"abcdefgh")
        .unwrap();
    agent.run(vec![transpose(input, output), transpose(input, (128, 8))]);
    for index in [0, 1] {
        let wanted = Reply::Answered {
            request: 1,
            index,
            fault: None,
        };
        assert_eq!(agent.reply(), wanted);
    }
    let output = ArenaRange {
        offset: 128,
        bytes: 8,
    };
    assert_eq!(agent.arena.read(output).unwrap(), b"abcdefgh");
    agent.tell(&Command::Shutdown {});
    agent.child.join().unwrap().unwrap();
}

#[test]
fn an_agent_that_leaves_between_two_commands_ends_the_child() {
    Agent::new().end().unwrap();
    Agent::greeted().end().unwrap();
}

#[test]
fn another_version_is_refused_and_told_ours() {
    let mut agent = Agent::new();
    agent.greet(VERSION + 1);
    assert!(matches!(
        agent.reply(),
        Reply::Ready {
            version: VERSION,
            ..
        }
    ));
    let refused = agent.end().unwrap_err();
    assert!(matches!(
        refused,
        ServeError::Version { seen, wanted: VERSION } if seen == VERSION + 1
    ));
}

#[test]
fn a_greeting_comes_first_and_once() {
    let mut agent = Agent::new();
    agent.run(vec![]);
    assert!(matches!(agent.end(), Err(ServeError::Greeting)));
    let mut agent = Agent::greeted();
    agent.tell(&Command::Hello {
        version: VERSION,
        arena_bytes: ARENA_BYTES,
    });
    assert!(matches!(agent.end(), Err(ServeError::Greeting)));
}

#[test]
fn the_arena_comes_with_the_greeting_and_with_nothing_else() {
    let mut agent = Agent::new();
    agent.tell(&Command::Hello {
        version: VERSION,
        arena_bytes: ARENA_BYTES,
    });
    assert!(matches!(agent.end(), Err(ServeError::Descriptor)));
    let mut agent = Agent::greeted();
    agent.tell_with_arena(&Command::Shutdown {});
    assert!(matches!(agent.end(), Err(ServeError::Descriptor)));
    let mut agent = Agent::new();
    agent.tell_with_arena(&Command::Hello {
        version: VERSION,
        arena_bytes: 4096,
    });
    assert!(matches!(
        agent.end(),
        Err(ServeError::Arena(ArenaError::Size { .. }))
    ));
}

#[test]
fn malformed_frames_end_the_child() {
    let sent = |bytes: &[u8]| {
        let mut agent = Agent::greeted();
        agent.socket.write_all(bytes).unwrap();
        match agent.end().unwrap_err() {
            ServeError::Frame(error) => error,
            other => panic!("{other}"),
        }
    };
    assert!(matches!(
        sent(&[0xff; 4]),
        FrameError::TooLarge {
            max: COMMAND_BYTES_MAX,
            ..
        }
    ));
    assert!(matches!(
        sent(b"GET / HTTP/1.1\r\n"),
        FrameError::TooLarge { .. }
    ));
    assert!(matches!(
        sent(b"\0\0\0\x04\xff\xff\xff\xff"),
        FrameError::Message(_)
    ));
    assert!(matches!(sent(b"\0\0\0\x04ab"), FrameError::Truncated));
    assert!(matches!(sent(b"\0"), FrameError::Truncated));
}

#[test]
fn ranges_that_do_not_fit_end_the_child_before_anything_runs() {
    let ended = |work: Placement| {
        let mut agent = Agent::greeted();
        agent.run(vec![transpose((0, 8), (256, 8)), work]);
        let mut rest = Vec::new();
        agent.socket.shutdown(Shutdown::Write).unwrap();
        agent.socket.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
        agent.child.join().unwrap().unwrap_err()
    };
    assert!(matches!(
        ended(transpose((ARENA_BYTES, 8), (64, 8))),
        ServeError::Arena(ArenaError::OutOfRange(_))
    ));
    assert!(matches!(
        ended(transpose((0, 8), (u64::MAX, 8))),
        ServeError::Arena(ArenaError::OutOfRange(_))
    ));
    assert!(matches!(
        ended(transpose((64, 8), (60, 8))),
        ServeError::Arena(ArenaError::Overlap(_))
    ));
    assert!(matches!(
        ended(transpose((0, 4), (64, 8))),
        ServeError::Sizes(1)
    ));
    assert!(matches!(
        ended(transpose((0, 8), (64, 16))),
        ServeError::Sizes(1)
    ));
    let mut without = transpose((0, 8), (64, 8));
    without.inputs.clear();
    assert!(matches!(ended(without), ServeError::Sizes(1)));
    let mut spaced = transpose((0, 8), (64, 8));
    spaced.body.push(b' ');
    assert!(matches!(ended(spaced), ServeError::Work { index: 1, .. }));
}

/// Fails at the second work in the executor's own way.
struct Failing;

impl Executor for Failing {
    fn identity(&self) -> Identity {
        CpuExecutor::new(Sha256Digest::of(b"")).identity()
    }

    fn run(&mut self, _: &mut [PlacedWork<'_>], answer: Answer<'_>) {
        answer(0, Err(Fault::Task("bad\ntask".to_owned())));
        answer(1, Err(Fault::Executor("illegal address".to_owned())));
        answer(2, Ok(()));
    }
}

#[test]
fn an_executors_fault_is_told_and_ends_the_child() {
    let mut agent = Agent::of(Failing);
    agent.greet(VERSION);
    agent.reply();
    let works = [64, 128, 192].map(|output| transpose((0, 8), (output, 8)));
    agent.run(works.to_vec());
    let faults = [
        Fault::Task("bad task".to_owned()),
        Fault::Executor("illegal address".to_owned()),
    ];
    for (index, fault) in [0, 1].into_iter().zip(faults) {
        let wanted = Reply::Answered {
            request: 1,
            index,
            fault: Some(fault),
        };
        assert_eq!(agent.reply(), wanted);
    }
    assert!(matches!(agent.end(), Err(ServeError::Executor(text)) if text == "illegal address"));
}
