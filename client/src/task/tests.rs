//! What is refused before any network, and what the digest covers.

use std::io::Cursor;

use serde_json::json;

use super::*;

fn owned(parameters: &[&str]) -> Vec<String> {
    parameters.iter().map(|text| (*text).to_owned()).collect()
}

fn prepare(
    operation: &str,
    given: &[&str],
    inputs: Vec<Input>,
) -> Result<PreparedTask, PrepareError> {
    PreparedTask::new(
        operation,
        None,
        parameters(operation, &owned(given)).unwrap(),
        inputs,
    )
}

fn fault(operation: &str, given: &[&str], inputs: Vec<Input>) -> String {
    match prepare(operation, given, inputs) {
        Err(PrepareError::Fault(fault)) => fault.to_string(),
        other => panic!("{other:?}"),
    }
}

fn floats(count: usize) -> Input {
    Input::from_bytes("x", vec![0; count * 4])
}

#[test]
fn parameters_are_typed_by_the_catalogue() {
    let read = parameters(
        "layer_norm",
        &owned(&["rows=2", "epsilon=1e-5", "columns=3"]),
    )
    .unwrap();
    assert_eq!(
        Value::Object(read),
        json!({"rows": 2, "columns": 3, "epsilon": 1e-5})
    );
    let read = parameters("reduce", &owned(&["kind=max"])).unwrap();
    assert_eq!(Value::Object(read), json!({"kind": "max"}));
}

#[test]
fn parameters_that_are_none_are_refused() {
    for text in ["rows", "=2"] {
        let error = parameters("softmax", &owned(&[text])).unwrap_err();
        assert_eq!(error, ParameterError::NoValue(text.to_owned()));
    }
    let error = parameters("softmax", &owned(&["rows=1", "rows=1"])).unwrap_err();
    assert_eq!(error, ParameterError::Twice("rows".to_owned()));
}

#[test]
fn the_catalogue_refuses_with_the_field_and_what_would_fit() {
    let cases = [
        (
            fault("sofmax", &[], vec![]),
            "there is no operation `sofmax`; the catalogue has embed, gemm,",
        ),
        (
            fault("softmax", &["rows=1"], vec![floats(1)]),
            "the parameter `columns` is missing",
        ),
        (
            fault("softmax", &["rows=many", "columns=1"], vec![floats(1)]),
            "the parameter `rows` must be a whole number",
        ),
        (
            fault("softmax", &["rows=1", "columns=1", "x=1"], vec![floats(1)]),
            "has no parameter `x`; it takes rows, columns",
        ),
        (
            fault("saxpy", &["alpha=nan"], vec![floats(1), floats(1)]),
            "the parameter `alpha` must be a finite binary32 number",
        ),
        (
            fault("softmax", &["rows=1", "columns=2"], vec![floats(1)]),
            "input `x` must have 8 bytes, not 4 bytes",
        ),
        (
            fault("sha256_batch", &[], vec![]),
            "takes 1 to 256 inputs (message), not 0",
        ),
    ];
    for (seen, wanted) in cases {
        assert!(seen.contains(wanted), "{seen}");
    }
}

/// The digest is over the canonical bytes of tests in `protocol`: another body, another digest; another key, the same.
#[test]
fn the_digest_covers_the_body_alone() {
    let task = prepare("sha256_batch", &[], vec![Input::from_bytes("a", "abc")]).unwrap();
    let body = concat!(
        r#"{"inputs":[{"bytes":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}],"#,
        r#""operation":"sha256_batch","parameters":{},"version":1}"#
    );
    assert_eq!(task.digest(), task_digest(body.as_bytes()));
    let same = prepare("sha256_batch", &[], vec![Input::from_bytes("b", "abc")]).unwrap();
    assert_eq!(task.digest(), same.digest());
    assert_ne!(task.idempotency_key, same.idempotency_key);
    let other = prepare("sha256_batch", &[], vec![Input::from_bytes("a", "abd")]).unwrap();
    assert_ne!(task.digest(), other.digest());
}

/// A binary64 must come out of JSON as it went in, else gateway and client compute different digests.
#[test]
fn numbers_survive_the_wire() {
    for alpha in [
        "0.1",
        "-2",
        "1e-30",
        "3.4028234663852886e38",
        "0.30000000000000004",
        "1.7976931348623157e-38",
    ] {
        let given = [format!("alpha={alpha}")];
        let given: Vec<_> = given.iter().map(String::as_str).collect();
        let task = prepare("saxpy", &given, vec![floats(1), floats(1)]).unwrap();
        let sent = serde_json::to_vec(&task.message(&[true, true])).unwrap();
        let received: SubmitTask = serde_json::from_slice(&sent).unwrap();
        let body = TaskBody {
            parameters: received.parameters,
            ..task.body().clone()
        };
        assert_eq!(
            task_digest(&body.canonical().unwrap()),
            task.digest(),
            "{alpha}"
        );
    }
}

#[test]
fn small_inputs_travel_inside_as_long_as_they_fit_together() {
    let small = || Input::from_bytes("small", vec![0; 64 * 1024]);
    let large = Input::from_bytes("large", vec![0; 64 * 1024 + 1]);
    let mut inputs = vec![large];
    inputs.extend((0..130).map(|_| small()));
    let task = prepare("sha256_batch", &[], inputs).unwrap();
    let inline = task.inline();
    assert!(!inline[0]);
    assert!(inline[1..=128].iter().all(|inline| *inline));
    assert!(inline[129..].iter().all(|inline| !*inline));
    let message = task.message(&inline);
    assert!(matches!(
        message.inputs[0],
        InputSource::Blob { bytes: 65_537, .. }
    ));
    assert!(matches!(message.inputs[128], InputSource::Inline { .. }));
    assert!(matches!(
        message.inputs[130],
        InputSource::Blob { bytes: 65_536, .. }
    ));
    assert!(serde_json::to_vec(&message).unwrap().len() < API_BODY_BYTES_MAX);
}

#[test]
fn a_stream_and_a_file_have_the_same_digest() {
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, &bytes).unwrap();
    let file = Input::from_file(&path).unwrap();
    let stream = Input::from_stream("-", &mut Cursor::new(&bytes)).unwrap();
    assert_eq!(file.content(), stream.content());
    assert!(file.memory().is_none() && stream.memory().is_none());
    assert_eq!(digest_file(&path).unwrap(), file.content());
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        Input::from_file(folder.path()),
        Err(InputError::Directory(_))
    ));
    let absent = Input::from_file(&folder.path().join("absent")).unwrap_err();
    assert!(
        absent.to_string().ends_with("absent cannot be read"),
        "{absent}"
    );
}
