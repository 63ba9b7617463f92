//! The verbs that are about one model: inspect, tokenize, generate.

mod common;

use common::cli::{caramba, caramba_in, shown};
use ndarray_npy::ReadNpyExt;
use std::path::Path;
use std::process::Stdio;

#[test]
fn a_real_model_is_inspected() {
    let model = common::smollm2();
    let model = model.to_str().unwrap();
    insta::assert_snapshot!(caramba(&["inspect", model]), @r"
    exit code 0
    SmolLM2-135M-Instruct.Q4_1
      family      llama
      files       1, 93.8 MB
      parameters  134,515,008
      width       576, 30 layers
      vocabulary  49,152 tokens, the head is the embedding
      context     8192 tokens
      tokenizer   49,152 tokens
      special     texts begin with 1, texts end with 2

    Layers
      0 to 29  standard: 9 query heads share 3 key heads, 64 wide, RoPE base 100000, MLP 1536 wide

    Tensors
      type  tensors   parameters     size
      Q4_1      210  106,168,320  63.3 MB
      Q8_0        1   28,311,552  28.7 MB
      F32        61       35,136   137 KB

    Cache
      kind  bytes/token  8192 tokens
      fp16       23,040       180 MB
      q8         12,240      95.6 MB
      q6           9360      73.1 MB
      q5           7920      61.9 MB
      q4           6480      50.6 MB
      q3           5040      39.4 MB
    ");
    let tensors = caramba(&["inspect", model, "--tensors"]);
    let lines: Vec<&str> = tensors.lines().skip_while(|line| *line != "All tensors").collect();
    insta::assert_snapshot!(lines[..5].join("\n"), @r"
    All tensors
      model.embed_tokens.weight                        Q8_0  [49152, 576]
      model.layers.0.input_layernorm.weight            F32   [576]
      model.layers.0.self_attn.q_proj.weight           Q4_1  [576, 576]
      model.layers.0.self_attn.k_proj.weight           Q4_1  [192, 576]
    ");
    assert_eq!(lines.len(), 1 + 272);
}

#[test]
fn a_text_becomes_a_dataset() {
    let model = common::smollm2();
    let model = model.to_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| shown(&caramba_in(directory.path(), &[&["tokenize", model], arguments].concat()));
    std::fs::write(directory.path().join("sea.txt"), "The sea was calm.\nShips came \u{2014} and went.\n").unwrap();
    insta::assert_snapshot!(run(&["sea.txt", "-o", "sea.npy"]), @r"
    exit code 0
    14 tokens, 3.07 bytes of text each, in sea.npy
    ");
    let file = std::fs::File::open(directory.path().join("sea.npy")).unwrap();
    let ids = ndarray::Array1::<u16>::read_npy(file).unwrap().to_vec();
    assert_eq!(ids, [504, 3426, 436, 9071, 30, 198, 67, 4452, 2422, 1841, 284, 3514, 30, 198]);

    std::fs::write(directory.path().join("latin1.txt"), b"one\ntw\xf6\n").unwrap();
    std::fs::write(directory.path().join("empty.txt"), "").unwrap();
    insta::assert_snapshot!(run(&["latin1.txt", "-o", "x.npy"]), @r"
    exit code 1
    error: latin1.txt, line 2: this is no UTF-8 text
      help: convert the file to UTF-8
    ");
    insta::assert_snapshot!(run(&["empty.txt", "-o", "x.npy"]), @r"
    exit code 1
    error: empty.txt: there is no text to make tokens of
    ");
    insta::assert_snapshot!(run(&["none.txt", "-o", "x.npy"]), @r"
    exit code 1
    error: none.txt: No such file or directory (os error 2)
      help: check the path; it is relative to the current directory
    ");
    assert!(!directory.path().join("x.npy").exists());
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let model = common::smollm2();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("caramba"));
    let mut child =
        command.args(["inspect", model.to_str().unwrap(), "--tensors"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_prompt_is_continued() {
    let model = common::smollm2();
    let output = caramba_in(Path::new("."), &["generate", model.to_str().unwrap(), "The sea was", "--max-tokens", "8", "--cache", "q8"]);
    let (text, notes) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), text.as_str()), (Some(0), "The sea was a place of endless wonder, full of\n"), "{notes}");
    // What isn't text goes elsewhere.
    assert!(notes.contains("prompt: 3 tokens in ") && notes.contains("; made: 8 tokens in "), "{notes}");

    let mistaken = |arguments: &[&str]| caramba(&[&["generate", model.to_str().unwrap()], arguments].concat());
    insta::assert_snapshot!(mistaken(&["The sea was", "--max-tokens", "9000"]), @r"
    exit code 1
    error: 9003 tokens are more than the model was made for (8192)
      help: shorten the prompt (3 tokens) or lower --max-tokens
    ");
    insta::assert_snapshot!(mistaken(&["The sea was", "--context", "100"]), @r"
    exit code 1
    error: the prompt has 3 tokens and --max-tokens asks for 128: together 131, but --context is 100
      help: raise --context or lower --max-tokens
    ");
}

#[test]
fn a_checkpoint_is_read_as_its_manifest_says() {
    let checkpoint = common::fixture("checkpoints/everything_grouped.student_state_dict.pt");
    let section = std::fs::read_to_string(common::fixture("checkpoints/everything_grouped.yml")).unwrap();
    let section: String = section.lines().map(|line| format!("        {line}\n")).collect();
    let text = format!(
        "version: 2\ntargets:\n- type: experiment\n  name: t\n  system:\n    ref: system.language_model\n    config:\n      model:\n{section}  \
         models: {{student: {}}}\n  benchmarks:\n  - {{id: b, config: {{type: memory}}, models: [teacher, student]}}\n",
        checkpoint.display()
    );
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("m.yml"), text).unwrap();
    let told = shown(&caramba_in(directory.path(), &["inspect", "student", "--manifest", "m.yml"]));
    insta::assert_snapshot!(told, @r"
    exit code 0
    everything_grouped.student_state_dict
      family      llama
      files       1, 62.6 KB
      parameters  25,412
      width       36, 2 layers
      vocabulary  61 tokens, a head of its own
      context     131,072 tokens
      tokenizer   none: the model has no tokenizer
      special     no begin-of-text token, no end-of-text token

    Layers
      0 to 1  decoupled: 4 query heads share 2 key heads, keys 6 semantic + 10 geometric wide, values 13, RoPE base 10000, semantic path rotated too, dynamic gate, learned temperature, null attention, MLP 36 wide

    Tensors
      type  tensors  parameters     size
      F16        37      25,412  49.6 KB

    Cache
      kind  bytes/token  131,072 tokens
      fp16          384         48.0 MB
      q8            204         25.5 MB
      q6            156         19.5 MB
      q5            132         16.5 MB
      q4            140         17.5 MB
      q3            124         15.5 MB
      kinds of 4 bits and less keep the geometric keys of decoupled layers at q8
    ");
    assert_eq!(told, shown(&caramba_in(directory.path(), &["inspect", checkpoint.to_str().unwrap(), "--manifest", "m.yml"])));
}

/// The bundled models are found from anywhere, as scripts find them.
#[test]
fn bundled_models_need_nothing_beside_the_binary() {
    let told = caramba(&["inspect", "models/austen-dba"]);
    assert!(
        told.starts_with("exit code 0\nausten-dba\n")
            && told.contains("  3  decoupled: 4 heads, keys 8 semantic + 16 geometric wide, values 16, "),
        "{told}"
    );
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.txt"), "It is a truth").unwrap();
    let told = shown(&caramba_in(directory.path(), &["tokenize", "./models/austen/", "a.txt", "-o", "a.npy"]));
    assert!(told.starts_with("exit code 0\n") && told.ends_with(" in a.npy"), "{told}");
    let output = caramba_in(directory.path(), &["generate", "models/austen", "It is a truth", "--max-tokens", "2"]);
    assert!(output.status.success() && output.stdout.starts_with(b"It is a truth"), "{}", shown(&output));
    // What stands there is what is meant.
    std::fs::create_dir_all(directory.path().join("models/austen")).unwrap();
    let told = shown(&caramba_in(directory.path(), &["inspect", "models/austen"]));
    assert!(told.starts_with("exit code 1\nerror: models/austen"), "{told}");
}
