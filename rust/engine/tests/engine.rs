//! Small hand-written graphs through the whole engine: load, set, compile, run, profile.

use std::time::Duration;

use torchtract_engine::{
    CompileOptions, DType, Dim, Error, Model, ProfileLimits, Stage, SymbolValue, Tensor,
    load_bytes, load_path, tensor_from_bytes,
};

const SCALE: &str = "
    extension tract_symbol B;
    extension tract_assert B >= 1;
    graph net(x, scale) -> (y) {
        x = tract_core_external(shape = [B, 3], datum_type = 'f32');
        scale = tract_core_external(shape = [B, 1], datum_type = 'f32');
        y = x * scale;
    }";

const GATHER: &str = "
    graph net(table, ids) -> (rows) {
        table = tract_core_external(shape = [4, 2], datum_type = 'f32');
        ids = tract_core_external(shape = [1], datum_type = 'i64');
        rows = tract_core_gather(table, ids, axis = 0);
    }";

fn archive(graph: &str) -> Vec<u8> {
    let graph = format!("version 1.0;\nextension tract_registry tract_core;\n{graph}");
    let mut header = tar::Header::new_gnu();
    header.set_size(graph.len() as u64);
    let mut tar = tar::Builder::new(vec![]);
    tar.append_data(&mut header, "graph.nnef", graph.as_bytes()).unwrap();
    tar.into_inner().unwrap()
}

fn model(graph: &str) -> Model {
    load_bytes(&archive(graph)).unwrap()
}

fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    tensor_from_bytes(DType::F32, shape, &bytes).unwrap()
}

fn ids(value: i64) -> Tensor {
    tensor_from_bytes(DType::I64, &[1], &value.to_ne_bytes()).unwrap()
}

fn set(model: &Model, symbol: &str, value: i64) -> Result<Model, Error> {
    model.set(&[(symbol.to_string(), SymbolValue::Size(value))])
}

const ONE_THREAD: CompileOptions = CompileOptions { threads: 1 };

#[test]
fn facts_have_symbols_until_they_are_set() {
    let model = model(SCALE);
    assert_eq!(model.symbols(), ["B"]);
    assert_eq!(model.assertions(), ["B >= 1"]);
    assert_eq!(model.inputs()[0].shape, [Dim::Symbolic("B".into()), Dim::Size(3)]);
    assert_eq!(model.outputs()[0].to_string(), "y: B,3,F32");
    let concrete = set(&model, "B", 2).unwrap();
    assert_eq!(concrete.outputs()[0].to_string(), "y: 2,3,F32");
    assert!(concrete.symbols().is_empty() && concrete.assertions().is_empty());
}

#[test]
fn symbols_are_refused_by_name() {
    let model = model(SCALE);
    for (symbol, value, says) in [
        ("B", 0, "B=0 is not allowed: the model asserts B >= 1"),
        ("C", 1, "no symbol is called C: there is B"),
    ] {
        let error = set(&model, symbol, value).unwrap_err();
        assert_eq!((error.stage, error.message.as_str()), (Stage::Symbol, says));
    }
}

#[test]
fn a_symbol_that_is_said_to_depend_on_itself_is_refused() {
    let even = |assertion: &str| SCALE.replace("B >= 1", assertion);
    for endless in ["B == B + 1", "B==B", "few: B == B + 0"] {
        let error = load_bytes(&archive(&even(endless))).unwrap_err();
        assert_eq!(error.stage, Stage::Load);
        assert!(error.message.contains("the other way around"), "{}", error.message);
    }
}

#[test]
fn assertions_about_multiples_are_held_and_kept_from_tract() {
    // With these tract's optimiser would not end.
    let twice = "
        extension tract_symbol B;
        extension tract_assert B >= 1;
        extension tract_assert MULTIPLE;
        graph net(x) -> (y) {
            x = tract_core_external(shape = [B], datum_type = 'f32');
            pairs = slice(x, axes = [0], begin = [0], end = [-1], stride = [2]);
            longer = concat([pairs, pairs, pairs], axis = 0);
            y = tract_core_softmax(longer, axes = [0]);
        }";
    for even in ["2 * (B / 2) == B", "B == B / 2 * 2", "B - 2 * (B/2) == 0", "B <= B/2*2"] {
        let model = model(&twice.replace("MULTIPLE", even));
        assert_eq!(model.assertions().len(), 2, "{even}");
        assert_eq!(set(&model, "B", 3).unwrap_err().stage, Stage::Symbol, "{even}");
        let runnable = model.compile(ONE_THREAD).unwrap();
        assert!(runnable.run(vec![floats(&[4], &[1.0; 4])]).is_ok(), "{even}");
        let error = runnable.run(vec![floats(&[3], &[1.0; 3])]).unwrap_err();
        assert_eq!(error.stage, Stage::Symbol, "{even}");
    }
}

#[test]
fn a_size_that_must_be_a_multiple_is_held_to_it() {
    let model = model(
        "extension tract_symbol S;
        fragment tract_core_properties() -> (properties: (string, tensor<scalar>)[]) {
            properties = [('torchtract.multiples', '2 * (S / 2) == S')];
        }
        graph net(x) -> (y) {
            x = tract_core_external(shape = [S], datum_type = 'f32');
            even = tract_core_dyn_slice(x, 0, 2 * (S / 2), 2 * (S / 2), axis = 0);
            y = reshape(even, shape = [S / 2, 2]);
        }",
    );
    assert_eq!(model.assertions(), ["2*(S/2) == S"]);
    assert_eq!(set(&model, "S", 3).unwrap_err().stage, Stage::Symbol);
    let runnable = set(&model, "S", 4).unwrap().compile(ONE_THREAD).unwrap();
    assert_eq!(runnable.outputs()[0].to_string(), "y: 2,2,F32");
    let free = model.compile(ONE_THREAD).unwrap();
    let error = free.run(vec![floats(&[3], &[0.0; 3])]).unwrap_err();
    assert_eq!(error.stage, Stage::Symbol);
    assert!(free.run(vec![floats(&[4], &[0.0; 4])]).is_ok());
}

#[test]
fn free_symbols_are_bound_by_each_run() {
    let runnable = model(SCALE).compile(ONE_THREAD).unwrap();
    for size in [1, 4, 2] {
        let x = floats(&[size, 3], &vec![2.0; size * 3]);
        let outputs = runnable.run(vec![x, floats(&[size, 1], &vec![3.0; size])]).unwrap();
        assert_eq!(outputs, [floats(&[size, 3], &vec![6.0; size * 3])]);
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let runnable = model(SCALE).compile(ONE_THREAD).unwrap();
    let (x, scale) = (floats(&[2, 3], &[0.0; 6]), floats(&[1, 1], &[0.0]));
    for (inputs, says) in [
        (vec![x.clone()], "1 inputs given"),
        (vec![x.clone(), ids(0)], "the dtype must be float32"),
        (vec![x, scale], "disagree about B: axis 0 of x is 2, axis 0 of scale is 1"),
    ] {
        let error = runnable.run(inputs).unwrap_err();
        assert_eq!(error.stage, Stage::Run);
        assert!(error.message.contains(says), "{error}");
    }
}

#[test]
fn a_panic_while_running_is_an_error() {
    for threads in [1, 2] {
        let runnable = model(GATHER).compile(CompileOptions { threads }).unwrap();
        let table = floats(&[4, 2], &[0., 1., 2., 3., 4., 5., 6., 7.]);
        let error = runnable.run(vec![table.clone(), ids(9)]).unwrap_err();
        assert_eq!(error.stage, Stage::Run);
        assert!(error.message.starts_with("tract panicked: range start index 18"), "{error}");
        assert_eq!(runnable.run(vec![table, ids(3)]).unwrap(), [floats(&[1, 2], &[6., 7.])]);
    }
}

#[test]
fn a_panic_while_loading_is_an_error() {
    let error = load_bytes(&archive("graph net() -> () { [] = relu(1.0); }")).unwrap_err();
    assert_eq!(error.stage, Stage::Load);
    assert!(error.message.contains("tract panicked: index out of bounds"), "{error}");
}

#[test]
fn a_syntax_error_has_line_and_column() {
    let error = load_bytes(&archive("graph net() -> () {\n  x = ;\n}")).unwrap_err();
    assert!(error.message.ends_with("graph.nnef, line 4, column 3: syntax error at `x = ;`"));
}

#[test]
fn what_is_no_model_is_refused() {
    for bytes in [&b""[..], b"no", &[0; 4096], &[0x1f, 0x8b, 8, 0], &archive(SCALE)[..700]] {
        assert_eq!(load_bytes(bytes).unwrap_err().stage, Stage::Load);
    }
    let error = load_path("/no/such/model.nnef.tgz".as_ref()).unwrap_err();
    assert_eq!(error.message, "/no/such/model.nnef.tgz: no such file or folder");
}

#[test]
fn many_threads_run_one_runnable() {
    let runnable = model(SCALE).compile(CompileOptions { threads: 2 }).unwrap();
    std::thread::scope(|scope| {
        for size in 1..9 {
            let runnable = &runnable;
            scope.spawn(move || {
                for _ in 0..100 {
                    let x = floats(&[size, 3], &vec![2.0; size * 3]);
                    let scale = floats(&[size, 1], &vec![0.5; size]);
                    let outputs = runnable.run(vec![x, scale]).unwrap();
                    assert_eq!(outputs, [floats(&[size, 3], &vec![1.0; size * 3])]);
                }
            });
        }
    });
}

#[test]
fn a_profile_needs_concrete_shapes_or_inputs() {
    let limits = ProfileLimits { warmup: 1, iterations: 3, time: Duration::from_secs(1) };
    let free = model(SCALE).compile(ONE_THREAD).unwrap();
    let error = free.profile(None, limits).unwrap_err();
    assert_eq!(error.stage, Stage::Symbol);
    assert!(error.message.contains("Expected concrete shape, found: B,3,F32"), "{error}");

    let inputs = vec![floats(&[1, 3], &[1.0; 3]), floats(&[1, 1], &[1.0])];
    let concrete = set(&model(SCALE), "B", 1).unwrap().compile(ONE_THREAD).unwrap();
    for profile in [free.profile(Some(inputs), limits), concrete.profile(None, limits)] {
        let profile = profile.unwrap();
        assert_eq!(profile.iterations, 3);
        assert!(profile.nodes.iter().any(|node| node.name.starts_with('y')));
        assert!(profile.entire >= profile.nodes.iter().map(|node| node.time).sum());
    }
}
