//! What a user sees at the command line: helps, plans, messages, exit codes.

mod common;

use assert_cmd::Command;
use ndarray_npy::ReadNpyExt;
use std::path::Path;
use std::process::Stdio;

/// Runs caramba in an empty directory (or `directory`) as it would run without a terminal.
fn caramba_in(directory: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::cargo_bin("caramba").unwrap();
    command.current_dir(directory).args(arguments).env("COLUMNS", "110").env_remove("RUST_BACKTRACE").output().unwrap()
}

/// Exit code, standard output and standard error as one text.
fn shown(output: &std::process::Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().trim_end().to_string();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let code = output.status.code().map_or("none".to_string(), |code| code.to_string());
    [format!("exit code {code}"), out, err].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn caramba(arguments: &[&str]) -> String {
    let empty = tempfile::tempdir().unwrap();
    shown(&caramba_in(empty.path(), arguments))
}

#[test]
fn alone_it_shows_its_help() {
    let alone = caramba(&[]);
    assert_eq!(alone, caramba(&["--help"]));
    insta::assert_snapshot!(alone, @r#"
    exit code 0
    Turns a research idea about attention into a paper's evidence, on any GPU

    Usage: caramba [OPTIONS] [COMMAND]

    Commands:
      script    Run a script: a .rhai file, or a built-in one by its name
      run       Run an experiment: a target of a YAML manifest
      generate  Continue a prompt; the text streams to standard output
      devices   List the adapters, what they can do, and which one is used
      inspect   Show a model's architecture, its tensors, and the bytes per token of each cache kind
      tokenize  Turn a text file into a dataset of token ids (.npy)
      check     Check a script or a manifest without running it

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices`
          --backend <BACKEND>     The graphics API to reach it by [possible values: vulkan, metal, dx12, gl]

    Examples:
      caramba script full_paper.rhai                      a paper's tables and charts from the bundled models
      caramba run experiment.yml --dry-run                what an experiment would do
      caramba generate model.gguf "The sea was"           text, as it is made
      caramba inspect model.gguf                          what is in a model, and what its cache costs

    `caramba MANIFEST.yml` is short for `caramba run MANIFEST.yml`. Results go to standard output, everything else
    to standard error.
    "#);
}

#[test]
fn it_knows_its_version() {
    assert_eq!(caramba(&["--version"]), format!("exit code 0\ncaramba {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_verb_has_a_help() {
    // The list of scripts grows: it isn't kept here.
    let script = caramba(&["script", "--help"]);
    let script: String = script.split("\n\n").filter(|part| !part.starts_with("Built-in scripts: ")).collect::<Vec<_>>().join("\n\n");
    insta::assert_snapshot!(script, @r"
    exit code 0
    Run a script: a .rhai file, or a built-in one by its name

    Usage: caramba script [OPTIONS] <FILE> [-- <ARGS>...]

    Arguments:
      <FILE>     The script; a file of a built-in script's name wins over it
      [ARGS]...  What the script finds in `args.rest`

    Options:
          --set <KEY=VALUE>  A value for the script's `args.KEY`, read like a value in YAML
          --describe         Say what the script does and which values it takes, but don't run it
      -h, --help             Print help

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices`
          --backend <BACKEND>     The graphics API to reach it by [possible values: vulkan, metal, dx12, gl]

    Examples:
      caramba script full_paper.rhai
      caramba script upcycle.rhai --set teacher=models/Llama-3.2-1B --set sem_dim=128
      caramba script mine.rhai --set lengths='[128, 512]' -- first second
    ");
    insta::assert_snapshot!(caramba(&["run", "-h"]), @r"
    exit code 0
    Run an experiment: a target of a YAML manifest

    Usage: caramba run [OPTIONS] <MANIFEST>

    Arguments:
      <MANIFEST>  The manifest, or the name of a preset

    Options:
          --target <NAME>  The target to run [default: the manifest's default, or its only target]
          --dry-run        Check the manifest and say what would be done, but do nothing
      -h, --help           Print help

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices`
          --backend <BACKEND>     The graphics API to reach it by [possible values: vulkan, metal, dx12, gl]

    Presets:
      quick_validation
      full_paper
      llama32_1b_dba

    `caramba check MANIFEST` checks every target.
    ");
    insta::assert_snapshot!(caramba(&["generate", "--help"]), @r#"
    exit code 0
    Continue a prompt; the text streams to standard output

    Usage: caramba generate [OPTIONS] <MODEL> <PROMPT>

    Arguments:
      <MODEL>   The model: a directory, a .gguf, .safetensors or .pt file
      <PROMPT>  The text to continue; `-` reads it from standard input

    Options:
          --max-tokens <N>    Stop after so many tokens [default: 128]
          --temperature <T>   0 takes the most likely token each time; higher values vary more [default: 0]
          --top-k <K>         Choose among the K most likely tokens only; 0: all [default: 0]
          --top-p <P>         Choose among the likeliest tokens that make up this share of the probability
                              [default: 1]
          --seed <N>          The same seed gives the same text [default: 0]
          --ignore-end        Go on after an end-of-text token
          --cache <KIND>      How keys and values are stored [default: fp16] [possible values: fp16, q8, q4, none]
          --context <TOKENS>  Room for so many tokens, prompt included [default: what the prompt and --max-tokens
                              need]
      -h, --help              Print help

    Training checkpoints:
          --manifest <MANIFEST>  Find the model in this manifest, by its name or path: it says what a training
                                 checkpoint's tensors mean
          --target <NAME>        The target of the manifest [default: as for `caramba run`]

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices`
          --backend <BACKEND>     The graphics API to reach it by [possible values: vulkan, metal, dx12, gl]

    Cache kinds:
      fp16  half floats, 2 bytes an element
      q8    8-bit codes, 1.0625 bytes an element
      q4    4-bit codes, 0.5625 bytes an element
      none  no cache: the prefix is recomputed at every step

    Examples:
      caramba generate models/SmolLM2-135M "The sea was"
      caramba generate model.gguf "The sea was" --temperature 0.8 --top-p 0.95 --seed 7 --cache q8
      caramba generate model.gguf - < prompt.txt
    "#);
    insta::assert_snapshot!(caramba(&["devices", "--help"]), @r"
    exit code 0
    List the adapters, what they can do, and which one is used

    Usage: caramba devices [OPTIONS]

    Options:
      -h, --help  Print help

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices`
          --backend <BACKEND>     The graphics API to reach it by [possible values: vulkan, metal, dx12, gl]
    ");
    insta::assert_snapshot!(caramba(&["inspect", "--help"]), @r"
    exit code 0
    Show a model's architecture, its tensors, and the bytes per token of each cache kind

    Usage: caramba inspect [OPTIONS] <MODEL>

    Arguments:
      <MODEL>  The model: a directory, a .gguf, .safetensors or .pt file

    Options:
          --tensors  List every tensor
      -h, --help     Print help

    Training checkpoints:
          --manifest <MANIFEST>  Find the model in this manifest, by its name or path: it says what a training
                                 checkpoint's tensors mean
          --target <NAME>        The target of the manifest [default: as for `caramba run`]

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices`
          --backend <BACKEND>     The graphics API to reach it by [possible values: vulkan, metal, dx12, gl]

    Examples:
      caramba inspect models/SmolLM2-135M.gguf
      caramba inspect runs/student.pt --manifest experiment.yml --target paper
    ");
    insta::assert_snapshot!(caramba(&["tokenize", "--help"]), @r"
    exit code 0
    Turn a text file into a dataset of token ids (.npy)

    Usage: caramba tokenize [OPTIONS] --output <FILE.npy> <MODEL> <FILE>

    Arguments:
      <MODEL>  The model: a directory, a .gguf, .safetensors or .pt file
      <FILE>   A UTF-8 text; `-` reads standard input

    Options:
      -o, --output <FILE.npy>  Where the token ids go
          --special            Begin with the model's begin-of-text token, if it has one
      -h, --help               Print help

    Training checkpoints:
          --manifest <MANIFEST>  Find the model in this manifest, by its name or path: it says what a training
                                 checkpoint's tensors mean
          --target <NAME>        The target of the manifest [default: as for `caramba run`]

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices`
          --backend <BACKEND>     The graphics API to reach it by [possible values: vulkan, metal, dx12, gl]

    Ids are stored as uint16 where the vocabulary allows it, else as uint32.

    Example:
      caramba tokenize models/SmolLM2-135M book.txt -o book.npy
    ");
    insta::assert_snapshot!(caramba(&["check", "--help"]), @r"
    exit code 0
    Check a script or a manifest without running it

    Usage: caramba check [OPTIONS] <SCRIPT|MANIFEST>

    Arguments:
      <SCRIPT|MANIFEST>  A .rhai file, a .yml file, or the name of a preset

    Options:
      -h, --help  Print help

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices`
          --backend <BACKEND>     The graphics API to reach it by [possible values: vulkan, metal, dx12, gl]
    ");
}

#[test]
fn mistyped_commands_are_told() {
    insta::assert_snapshot!(caramba(&["genrate", "a", "b"]), @r"
    exit code 2
    error: unrecognized subcommand 'genrate'

      tip: a similar subcommand exists: 'generate'

    Usage: caramba [OPTIONS] [COMMAND]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["devices", "--devise", "0"]), @r"
    exit code 2
    error: unexpected argument '--devise' found

      tip: a similar argument exists: '--device'

    Usage: caramba devices --device <NAME|NUMBER>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["devices", "--backend", "cuda"]), @r"
    exit code 2
    error: invalid value 'cuda' for '--backend <BACKEND>'
      [possible values: vulkan, metal, dx12, gl]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["generate", "m.gguf", "hello", "--cache", "q5"]), @r"
    exit code 2
    error: invalid value 'q5' for '--cache <KIND>'
      [possible values: fp16, q8, q4, none]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["generate", "m.gguf", "hello", "--top-p", "1.5"]), @r"
    exit code 2
    error: invalid value '1.5' for '--top-p <P>': give a number above 0, up to 1

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["script", "a.rhai", "--set", "lengths"]), @r"
    exit code 2
    error: invalid value 'lengths' for '--set <KEY=VALUE>': write key=value

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["tokenize", "m.gguf", "a.txt"]), @r"
    exit code 2
    error: the following required arguments were not provided:
      --output <FILE.npy>

    Usage: caramba tokenize --output <FILE.npy> <MODEL> <FILE>

    For more information, try '--help'.
    ");
}

#[test]
fn missing_files_are_told() {
    insta::assert_snapshot!(caramba(&["inspect", "models/none.gguf"]), @r"
    exit code 1
    error: models/none.gguf: No such file or directory (os error 2)
      help: check the path; it is relative to the current directory
    ");
    insta::assert_snapshot!(caramba(&["paper.yml"]), @r"
    exit code 1
    error: paper.yml: there is no such file
      help: give the path of a manifest, or the name of a preset: quick_validation, full_paper, llama32_1b_dba
    ");
    insta::assert_snapshot!(caramba(&["run", "ful_paper"]), @r"
    exit code 1
    error: unknown preset `ful_paper`
      help: did you mean `full_paper`? known are: quick_validation, full_paper, llama32_1b_dba
    ");
}

#[test]
fn a_plan_is_shown_and_nothing_done() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = r#"
version: 2
name: pair
vars: {runs: runs/7, lengths: [128, 512]}
targets:
- type: experiment
  name: paper
  description: A pair.
  models:
    teacher: teacher.gguf
    student: {path: old.pt, weights: f16, model: {type: TransformerModel}}
  runs:
  - id: distill
    command: python distill.py --out ${runs}/student.pt
    checkpoint: ${runs}/student.pt
    steps: 100
    verify: {type: compare, fail_fast: true, dataset: tokens.npy, attention: {max_mean_l1: 0.05}}
  benchmarks:
  - id: speed
    config: {type: latency, prompt_lengths: "${lengths}", generation_lengths: [64], use_cache: true}
    models: [teacher, student]
    repeats: 3
  verify:
  - {type: kvcache, models: [teacher, student], min_reduction_ratio: 3}
- {type: process, name: writer, team: {writer: writer}}
entrypoints: {default: paper, short: paper}
"#;
    std::fs::write(directory.path().join("m.yml"), manifest).unwrap();
    std::fs::write(directory.path().join("teacher.gguf"), "").unwrap();
    let plan = shown(&caramba_in(directory.path(), &["m.yml", "--dry-run"]));
    insta::assert_snapshot!(plan, @r"
    exit code 0
    paper of m.yml
    A pair.

    models
      teacher  teacher.gguf
      student  runs/7/student.pt  weights f16, with a model section, made by a run

    runs
      distill
        command     python distill.py --out runs/7/student.pt
        checkpoint  runs/7/student.pt, the model student

    benchmark speed: latency of teacher, student, 3 times
      prompt_lengths      [128, 512]
      generation_lengths  [64]
      use_cache           true

    verification: compare of teacher, student, after the run distill, a failure ends the experiment
      dataset    tokens.npy
      attention  {max_mean_l1: 0.05}

    verification: kvcache of teacher, student
      min_reduction_ratio  3
    ");
    assert_eq!(plan, shown(&caramba_in(directory.path(), &["run", "--dry-run", "m.yml", "--target", "short"])));
    insta::assert_snapshot!(shown(&caramba_in(directory.path(), &["check", "m.yml"])), @r"
    exit code 0
    m.yml: no mistakes found in the target paper
    ");
    insta::assert_snapshot!(shown(&caramba_in(directory.path(), &["run", "m.yml", "--target", "papr"])), @r"
    exit code 1
    error: m.yml: unknown target `papr`
      help: did you mean `paper`? known are: paper, writer, default, short
    ");
    insta::assert_snapshot!(shown(&caramba_in(directory.path(), &["run", "m.yml", "--target", "writer"])), @r"
    exit code 1
    error: m.yml:25:3: the target `writer` is of type `process`
       |
    25 | - {type: process, name: writer, team: {writer: writer}}
       |   ^
      help: caramba runs targets of type `experiment`
    ");
}

#[test]
fn presets_are_known_everywhere() {
    insta::assert_snapshot!(caramba(&["config/presets/llama32_1b_dba.yml", "--target", "quick", "--dry-run"]), @r"
    exit code 0
    quick of config/presets/llama32_1b_dba.yml
    A short look before the long run.

    models
      teacher  models/Llama-3.2-1B  not found
      student  runs/student.pt      with a model section, not found

    runs
      none: the models are measured as they are

    benchmark perplexity: perplexity of teacher, student
      dataset      data/tokens.npy
      block_size   512
      num_batches  10

    benchmark memory: memory of teacher, student
      sequence_lengths    [512]
      quantization_modes  [fp16, q8, q4]
    ");
    insta::assert_snapshot!(caramba(&["check", "full_paper"]), @r"
    exit code 0
    full_paper: no mistakes found in the target paper
    ");
}

/// A manifest with `body` for its target, checked.
fn mistake(body: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let target = body.trim_matches('\n').lines().map(|line| format!("  {line}\n")).collect::<String>();
    let text = format!("version: 2\nvars: {{n: 4}}\ntargets:\n- type: experiment\n  name: t\n  models: {{m: m.gguf}}\n{target}");
    std::fs::write(directory.path().join("m.yml"), text).unwrap();
    let output = caramba_in(directory.path(), &["check", "m.yml"]);
    assert_eq!(output.status.code(), Some(1));
    shown(&output)
}

#[test]
fn mistakes_in_a_manifest_are_shown_where_they_are() {
    insta::assert_snapshot!(mistake("benchmark:\n- id: a"), @r"
    exit code 1
    error: m.yml:7:3: unknown key of a target `benchmark`
      |
    7 |   benchmark:
      |   ^^^^^^^^^
      help: did you mean `benchmarks`? known are: type, name, description, notes, models, runs, benchmarks, verify, system, backend, task, data, objective, trainer, train, seed, defaults
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- id: a\n  config: {type: x}\n  models: [m]\n  repeat: 3"), @r"
    exit code 1
    error: m.yml:11:5: unknown key of a benchmark `repeat`
       |
    11 |     repeat: 3
       |     ^^^^^^
      help: did you mean `repeats`? known are: id, config, models, repeats, description, notes
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- id: a\n  config: {type: x}\n  models: [n]"), @r"
    exit code 1
    error: m.yml:10:14: unknown model `n`
       |
    10 |     models: [n]
       |              ^
      help: did you mean `m`? known are: m
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- id: a\n  config: {type: x}"), @r"
    exit code 1
    error: m.yml:8:5: this benchmark has no `models`
      |
    8 |   - id: a
      |     ^^
      help: say which models: `models: [student]`
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- id: a\n  config: {kind: x}\n  models: [m]"), @r"
    exit code 1
    error: m.yml:9:13: this config has no `type`
      |
    9 |     config: {kind: x}
      |             ^
      help: `type` is the name of a script, such as `perplexity`
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- &b {id: a, config: {type: x}, models: [m]}\n- *b"), @r"
    exit code 1
    error: m.yml:8:13: there are two benchmarks `a`: the first stands in line 8
      |
    8 |   - &b {id: a, config: {type: x}, models: [m]}
      |             ^
      help: give each a name of its own
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- {id: a, config: {type: x}, models: [m], repeats: '${n}x'}"), @r"
    exit code 1
    error: m.yml:8:54: `repeats` is a whole number from 1 to 10000, found the text `4x`
      |
    8 |   - {id: a, config: {type: x}, models: [m], repeats: '${n}x'}
      |                                                      ^^^^^^^
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- {id: a, config: {type: x, n: '${m}'}, models: [m]}"), @r"
    exit code 1
    error: m.yml:8:34: unknown variable `m`
      |
    8 |   - {id: a, config: {type: x, n: '${m}'}, models: [m]}
      |                                  ^^^^^^
      help: did you mean `n`? known are: n
    ");
    insta::assert_snapshot!(mistake("benchmarks: perplexity"), @r"
    exit code 1
    error: m.yml:7:15: `benchmarks` is a list (`[a, b]`), found the text `perplexity`
      |
    7 |   benchmarks: perplexity
      |               ^^^^^^^^^^
    ");
    insta::assert_snapshot!(mistake("runs: []"), @r"
    exit code 1
    error: m.yml:5:9: the target `t` has nothing to do
      |
    5 |   name: t
      |         ^
      help: give it `benchmarks`
    ");
    insta::assert_snapshot!(mistake("runs:\n- {id: r, command: 7}"), @r"
    exit code 1
    error: m.yml:8:22: `command` is a line for the shell, or a list of a program and its arguments, found the number 7
      |
    8 |   - {id: r, command: 7}
      |                      ^
    ");
    insta::assert_snapshot!(mistake("runs:\n- {id: r, command: train, checkpoint: s.pt}"), @r"
    exit code 1
    error: m.yml:8:29: unknown model `student`
      |
    8 |   - {id: r, command: train, checkpoint: s.pt}
      |                             ^^^^^^^^^^
      help: known are: m
    ");
    insta::assert_snapshot!(mistake("system: {ref: system.graph, config: {}}"), @r"
    exit code 1
    error: m.yml:7:17: caramba runs `system.language_model`, found the text `system.graph`
      |
    7 |   system: {ref: system.graph, config: {}}
      |                 ^^^^^^^^^^^^
    ");
    insta::assert_snapshot!(mistake("verify: {type: compare, fail_fast: maybe}"), @r"
    exit code 1
    error: m.yml:7:38: `fail_fast` is `true` or `false`, found the text `maybe`
      |
    7 |   verify: {type: compare, fail_fast: maybe}
      |                                      ^^^^^
    ");
}

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
      context     8,192 tokens
      tokenizer   49,152 tokens
      special     texts begin with 1, texts end with 2

    Layers
      0 to 29  standard: 9 query heads share 3 key heads, 64 wide, RoPE base 100000, MLP 1536 wide

    Tensors
      type  tensors   parameters      size
      Q4_1      210  106,168,320   63.3 MB
      Q8_0        1   28,311,552   28.7 MB
      F32        61       35,136  137.2 KB

    Cache
      kind  bytes/token  8,192 tokens
      fp16       23,040      180.0 MB
      q8         12,240       95.6 MB
      q4          6,480       50.6 MB
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
    error: latin1.txt: line 2 is no UTF-8 text
      help: convert the file to UTF-8
    ");
    insta::assert_snapshot!(run(&["empty.txt", "-o", "x.npy"]), @r"
    exit code 1
    error: empty.txt: the text is empty
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
fn an_adapter_that_there_is_not_is_told() {
    let told = caramba(&["devices", "--device", "Voodoo 2"]);
    assert!(told.starts_with("exit code 1\n0  ") && told.contains("error: no adapter `Voodoo 2`\n  help: there are 0: "), "{told}");
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
      q4            140         17.5 MB
      q4 keeps the geometric keys of decoupled layers at q8
    ");
    assert_eq!(told, shown(&caramba_in(directory.path(), &["inspect", checkpoint.to_str().unwrap(), "--manifest", "m.yml"])));
}
