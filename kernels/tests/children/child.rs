//! The child that this test binary becomes.

use std::time::Duration;

use kernels::executor::{Answer, CpuExecutor, Executor, Fault, Identity, PlacedWork, serve_stdin};
use kernels::module;

/// The test to execute, and the variable that makes it a child.
pub(crate) const MAIN: &str = "child::child_main";
pub(crate) const BEHAVIOUR: &str = "TEST_CHILD_BEHAVIOUR";

/// The input of the work at which a child misbehaves.
pub(crate) const TRIGGER: &[u8] = b"now";

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the configuration of a test's child"
)]
fn child_main() {
    let Ok(behaviour) = std::env::var(BEHAVIOUR) else {
        return;
    };
    if behaviour == "agent" {
        return super::orphan::agent_main();
    }
    let start = || {
        let honest = CpuExecutor::new(module::executable_digest()?);
        Ok::<_, std::io::Error>(Misbehaving { honest, behaviour })
    };
    serve_stdin(start).unwrap();
}

/// Does as the CPU executor does, but for works with the trigger as input.
struct Misbehaving {
    honest: CpuExecutor,
    behaviour: String,
}

impl Executor for Misbehaving {
    fn identity(&self) -> Identity {
        self.honest.identity()
    }

    fn run(&mut self, works: &mut [PlacedWork<'_>], answer: Answer<'_>) {
        for (index, work) in works.iter_mut().enumerate() {
            if work.inputs == [TRIGGER] {
                self.misbehave(index, answer);
            }
            let one = std::slice::from_mut(work);
            self.honest
                .run(one, &mut |_, outcome| answer(index, outcome));
        }
    }
}

impl Misbehaving {
    fn misbehave(&self, index: usize, answer: Answer<'_>) {
        match self.behaviour.as_str() {
            "hang" => std::thread::sleep(Duration::from_hours(1)),
            "panic" => panic!("as the test wants it"),
            "fault" => answer(index, Err(Fault::Executor("the device is lost".to_owned()))),
            _ => {}
        }
    }
}
