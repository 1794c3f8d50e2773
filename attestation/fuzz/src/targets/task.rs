//! A task's body and a submission: one set of canonical bytes, one digest, and a call that the catalogue bounds.

use protocol::{
    api::SubmitTask,
    task::{TaskBody, task_digest},
};

use crate::{Seeds, Target};

pub(crate) const TARGET: Target = Target {
    name: "task",
    run,
    seeds,
    dictionary: &[
        b"\"inputs\":[",
        b"\"operation\":\"gemm\"",
        b"\"operation\":\"layer_norm\"",
        b"\"operation\":\"reduce\"",
        b"\"operation\":\"saxpy\"",
        b"\"operation\":\"sha256_batch\"",
        b"\"operation\":\"softmax\"",
        b"\"operation\":\"transpose\"",
        b"\"parameters\":{",
        b"\"sha256\":",
        b"\"bytes\":18446744073709551615",
        b"\"rows\":4294967295",
        b"\"columns\":4294967295",
        b"1e308",
    ],
};

fn run(json: &[u8]) {
    if let Ok(body) = TaskBody::from_canonical(json) {
        let canonical = body.canonical().expect("what parses is written");
        assert_eq!(canonical, json);
        assert_eq!(task_digest(&canonical), task_digest(json));
        assert_eq!(format!("{:?}", body.call()), format!("{:?}", body.call()));
    }
    if let Ok(submitted) = serde_json::from_slice::<SubmitTask>(json) {
        let text = serde_json::to_string(&submitted).expect("a submission serialises");
        let again: SubmitTask = serde_json::from_str(&text).expect("its own JSON parses");
        assert_eq!(again, submitted);
    }
}

fn seeds(seeds: &mut Seeds) {
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let input = |bytes: u32| format!(r#"{{"bytes":{bytes},"sha256":"{digest}"}}"#);
    seeds.add(format!(
        r#"{{"inputs":[{}],"operation":"layer_norm","parameters":{{"columns":1,"epsilon":0.00001,"rows":1}},"version":1}}"#,
        input(4)
    ));
    seeds.add(format!(
        r#"{{"inputs":[{}],"operation":"sha256_batch","parameters":{{}},"version":1}}"#,
        input(64)
    ));
    seeds.add(
        r#"{"operation":"sha256_batch","inputs":[{"data":"YWJj"}],"priority":9,"deadline_s":60}"#,
    );
}
