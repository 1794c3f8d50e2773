//! The command line described to others: schemas, completions, man pages.

use crate::{
    harness::{Files, shipped, text},
    usage::COMMANDS,
};

#[test]
fn every_schema_is_listed_and_printed() {
    let list = shipped(&["schema", "--json"]).json();
    let names = list["schemas"]["names"].as_array().unwrap();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let said = shipped(&["schema", name.as_str().unwrap()]);
        assert_eq!(said.exit, 0, "{name}");
        let schema: serde_json::Value = serde_json::from_str(&said.output).unwrap();
        let title = format!("cocoon-attest/{}/1", name.as_str().unwrap());
        assert_eq!(schema["title"], title);
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.add_resource("schema.json", schema).unwrap();
        compiler.compile("schema.json", &mut schemas).unwrap();
    }
}

#[test]
fn an_unknown_schema_names_those_that_there_are() {
    let said = shipped(&["schema", "nonsense"]);
    assert_eq!(said.exit, 1);
    assert!(said.errors.contains("policy-lint"), "{}", said.errors);
}

#[test]
fn completions_are_made_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = shipped(&["completions", shell]);
        assert_eq!(said.exit, 0, "{shell}");
        assert!(said.output.contains("simulate"), "{shell}");
    }
    assert_eq!(shipped(&["completions", "tcl"]).exit, 1);
}

#[test]
fn there_is_a_man_page_for_every_command() {
    let page = shipped(&["man"]);
    assert_eq!(page.exit, 0);
    assert!(
        page.output.contains(".TH cocoon\\-attest 1") || page.output.contains(".TH"),
        "{}",
        page.output
    );
    let files = Files::new();
    let dir = files.path("man1");
    let said = shipped(&["man", text(&dir)]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(
        said.output.is_empty() && said.errors.contains("man1"),
        "{said:?}"
    );
    for command in COMMANDS {
        let name = [&["cocoon-attest"][..], command].concat().join("-");
        let page = std::fs::read_to_string(dir.join(format!("{name}.1"))).unwrap();
        assert!(page.contains("Exit codes:"), "{name}");
        assert!(page.contains("Examples:"), "{name}");
    }
}

#[test]
fn quiet_silences_notes_and_json_replaces_them() {
    let files = Files::new();
    let dir = files.path("man1");
    let quiet = shipped(&["man", "--quiet", text(&dir)]);
    assert_eq!((quiet.exit, quiet.errors.as_str()), (0, ""));
    let json = shipped(&["man", "--json", text(&dir)]).json();
    assert_eq!(json["man"]["dir"], text(&dir));
}

/// A terminal is needed for colours; through a pipe there are none.
#[test]
fn there_are_no_colours_in_a_pipe() {
    for arguments in [&["--help"][..], &["doctor"]] {
        assert!(
            !shipped(arguments).output.contains('\u{1b}'),
            "{arguments:?}"
        );
    }
}
