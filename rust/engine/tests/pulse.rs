//! Hand-written graphs pulsed, streamed, written and read again.

use std::sync::Arc;

use torchtract_engine::{
    CompileOptions, DType, Error, Model, PulsedModel, Stage, Stream, SymbolValue, Tensor,
    load_bytes, tensor_from_bytes,
};

const SMOOTH: &str = "
    extension tract_symbol B;
    extension tract_symbol S;
    graph net(x) -> (y) {
        x = tract_core_external(shape = [B, 1, S], datum_type = 'f32');
        y = conv(x, [[[0.25, 0.5, 0.25]]], 0.0, padding = [(1, 1)]);
    }";

const SOFTMAX: &str = "
    extension tract_symbol S;
    graph net(x) -> (y) {
        x = tract_core_external(shape = [1, S], datum_type = 'f32');
        y = softmax(x, axes = [AXIS]);
    }";

const TAIL: &str = "
    extension tract_symbol S;
    graph net(x) -> (y) {
        x = tract_core_external(shape = [1, 1, S], datum_type = 'f32');
        y = slice(x, axes = [2], begin = [BEGIN], end = [END]);
    }";

const PAIRS: &str = "
    extension tract_symbol S;
    graph net(x) -> (y) {
        x = tract_core_external(shape = [1, 1, S], datum_type = 'f32');
        y = conv(x, [[[1.0, 1.0]]], 0.0, stride = [2], padding = [(0, 0)]);
    }";

const ATTENTION: &str = "
    extension tract_symbol S;
    graph net(x) -> (y) {
        x = tract_core_external(shape = [1, 1, S], datum_type = 'f32');
        range = tract_core_range(start = 0, end = S, step = 1);
        keys = tract_core_bitand(range, range);
        queries = unsqueeze(keys, axes = [1]);
        before = sub(queries, unsqueeze(keys, axes = [0]));
        past = ge(before, tract_core_cast(0, to = 'i64'));
        near = lt(before, tract_core_cast(WINDOW, to = 'i64'));
        seen = unsqueeze(and(past, near), axes = [0]);
        scores = tract_core_einsum([x, x], expr = 'abm,abn->amn', acc = 'f32');
        weights = softmax(select(seen, scores, -inf), axes = [2]);
        y = tract_core_einsum([weights, x], expr = 'amn,abn->abm', acc = 'f32');
    }";

const ONE_THREAD: CompileOptions = CompileOptions { threads: 1 };

fn model(graph: &str) -> Model {
    let graph = format!("version 1.0;\nextension tract_registry tract_core;\n{graph}");
    let mut header = tar::Header::new_gnu();
    header.set_size(graph.len() as u64);
    let mut tar = tar::Builder::new(vec![]);
    tar.append_data(&mut header, "graph.nnef", graph.as_bytes()).unwrap();
    load_bytes(&tar.into_inner().unwrap()).unwrap()
}

fn frames(values: &[f32]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    tensor_from_bytes(DType::F32, &[1, 1, values.len()], &bytes).unwrap()
}

fn values(tensors: &[Option<Tensor>]) -> Vec<f32> {
    let plain = tensors[0].as_ref().unwrap().try_as_plain_ram().unwrap();
    plain.as_slice::<f32>().unwrap().to_vec()
}

fn stream(pulsed: &PulsedModel) -> Stream {
    Stream::new(Arc::new(pulsed.compile(ONE_THREAD).unwrap()), vec![None]).unwrap()
}

fn refusal(graph: &str, symbol: &str, pulse: i64) -> Error {
    model(graph).pulse(symbol, pulse).unwrap_err()
}

#[test]
fn a_stream_gives_what_the_batch_model_gives() {
    let batch = model(SMOOTH);
    let pulsed = batch.pulse("S", 4).unwrap();
    let input: Vec<f32> = (0..11u8).map(|i| f32::from(i * i % 7)).collect();
    let mut stream = stream(&pulsed);
    let mut got = vec![];
    for chunk in [&input[..1], &input[1..1], &input[1..9], &input[9..]] {
        got.extend(values(&stream.push(vec![frames(chunk)]).unwrap()));
    }
    got.extend(values(&stream.flush().unwrap()));
    let whole = batch.compile(ONE_THREAD).unwrap().run(vec![frames(&input)]).unwrap();
    assert_eq!(got, values(&[Some(whole[0].clone())]));
}

#[test]
fn attention_within_a_window_streams_and_attention_to_all_is_refused() {
    let batch = model(&ATTENTION.replace("WINDOW", "3"));
    let input: Vec<f32> = (0..11u8).map(|i| f32::from(i * i % 7)).collect();
    let whole = batch.compile(ONE_THREAD).unwrap().run(vec![frames(&input)]).unwrap();
    let whole = values(&[Some(whole[0].clone())]);
    for pulse in [1, 2, 5, 16] {
        let pulsed = batch.pulse("S", pulse).unwrap();
        assert_eq!(pulsed.outputs()[0].as_ref().unwrap().delay, 0);
        let mut stream = stream(&pulsed);
        let mut got = values(&stream.push(vec![frames(&input[..7])]).unwrap());
        got.extend(values(&stream.push(vec![frames(&input[7..])]).unwrap()));
        got.extend(values(&stream.flush().unwrap()));
        assert_eq!(got.len(), whole.len());
        assert!(got.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?} {whole:?}");
    }
    let message = refusal(&ATTENTION.replace("WINDOW", "5000"), "S", 4).message;
    assert!(message.contains("limit attention by a mask to a window of the past"), "{message}");
}

#[test]
fn a_pulse_has_an_axis_and_a_delay() {
    let pulsed = model(SMOOTH).pulse("S", 4).unwrap();
    let (input, output) =
        (pulsed.inputs()[0].as_ref().unwrap(), pulsed.outputs()[0].as_ref().unwrap());
    assert_eq!((input.axis, input.pulse, input.delay), (2, 4, 0));
    assert_eq!((output.axis, output.pulse, output.delay), (2, 4, 1));
}

#[test]
fn what_mixes_all_frames_is_refused_and_its_twin_is_not() {
    let error = refusal(&SOFTMAX.replace("AXIS", "1"), "S", 4);
    assert_eq!(error.stage, Stage::Pulse);
    assert!(error.message.contains("it takes all frames at once"), "{error}");
    assert!(model(&SOFTMAX.replace("AXIS", "0")).pulse("S", 4).is_ok());
}

#[test]
fn a_slice_that_starts_at_the_end_is_refused_and_its_twin_is_not() {
    let from_end = TAIL.replace("BEGIN", "S - 3").replace("END", "S");
    assert!(refusal(&from_end, "S", 4).message.contains("a stream has no such end"));
    let from_start = TAIL.replace("BEGIN", "3").replace("END", "S");
    assert_eq!(model(&from_start).pulse("S", 4).unwrap().outputs()[0].as_ref().unwrap().delay, 3);
}

#[test]
fn a_pulse_that_does_not_fit_is_told_which_do() {
    let message = refusal(PAIRS, "S", 3).message;
    assert!(message.starts_with("S=3: Conv y: "), "{message}");
    assert!(message.ends_with("; multiples of 2 do"), "{message}");
    assert_eq!(refusal(PAIRS, "T", 3).stage, Stage::Symbol);
    assert_eq!(refusal(PAIRS, "S", 0).stage, Stage::Pulse);
}

#[test]
fn a_failed_push_leaves_the_stream_as_it_was() {
    let pulsed = model(SMOOTH).pulse("S", 2).unwrap();
    let (mut one, mut other) = (stream(&pulsed), stream(&pulsed));
    let first =
        [one.push(vec![frames(&[1.0, 2.0, 3.0])]), other.push(vec![frames(&[1.0, 2.0, 3.0])])];
    assert_eq!(values(first[0].as_ref().unwrap()), values(first[1].as_ref().unwrap()));
    let wrong = tensor_from_bytes(DType::F32, &[2, 1, 0], &[]).unwrap();
    assert_eq!(one.push(vec![wrong]).unwrap_err().stage, Stage::Run);
    assert_eq!(one.position(), other.position());
    let rest = [one.push(vec![frames(&[4.0])]), other.push(vec![frames(&[4.0])])];
    assert_eq!(values(rest[0].as_ref().unwrap()), values(rest[1].as_ref().unwrap()));
    assert_eq!(values(&one.flush().unwrap()), values(&other.flush().unwrap()));
}

#[test]
fn what_is_written_is_read_as_the_same_pulsed_model() {
    let pulsed = model(SMOOTH).pulse("S", 4).unwrap();
    let again = load_bytes(&pulsed.archive().unwrap()).unwrap();
    let again = PulsedModel::open(&again).unwrap().unwrap();
    assert_eq!(again.symbol(), "S");
    let input = frames(&[1.0, 5.0, 2.0, 8.0, 3.0]);
    let mut streams = [stream(&pulsed), stream(&again)];
    let outputs = streams.each_mut().map(|stream| {
        let first = values(&stream.push(vec![input.clone()]).unwrap());
        [first, values(&stream.flush().unwrap())].concat()
    });
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0].len(), 5);
    assert!(PulsedModel::open(&model(SMOOTH)).unwrap().is_none());
}

#[test]
fn other_symbols_are_set_later() {
    let pulsed = model(SMOOTH).pulse("S", 4).unwrap();
    let set = |symbol: &str| pulsed.set(&[(symbol.to_string(), SymbolValue::Size(1))]);
    assert!(set("B").unwrap().model().symbols().is_empty());
    assert_eq!(set("S").unwrap_err().stage, Stage::Symbol);
}

#[test]
fn what_streams_otherwise_is_let_through_where_that_is_asked_for() {
    let over_frames = SOFTMAX.replace("AXIS", "1");
    let reason = refusal(&over_frames, "S", 4).message;
    let pulsed = model(&over_frames).pulse_unequal("S", 4).unwrap();
    assert_eq!(pulsed.unequal().len(), 1);
    assert_eq!(reason.replace('\'', "\u{2019}"), format!("S=4: {}", pulsed.unequal()[0]));
    let again = load_bytes(&pulsed.archive().unwrap()).unwrap();
    assert_eq!(PulsedModel::open(&again).unwrap().unwrap().unequal(), pulsed.unequal());
    let per_frame = model(&SOFTMAX.replace("AXIS", "0")).pulse_unequal("S", 4).unwrap();
    assert!(per_frame.unequal().is_empty());
}

#[test]
fn what_tract_can_not_stream_at_all_is_refused_in_any_case() {
    let error = model(PAIRS).pulse_unequal("S", 3).unwrap_err();
    assert_eq!(error.message, refusal(PAIRS, "S", 3).message);
    let from_end = TAIL.replace("BEGIN", "S - 3").replace("END", "S");
    let error = model(&from_end).pulse_unequal("S", 4).unwrap_err();
    assert_eq!(error.message, refusal(&from_end, "S", 4).message);
}

#[test]
fn what_streams_inside_can_be_looked_at() {
    let graph = SMOOTH
        .replace("y = conv", "z = conv")
        .replace("padding = [(1, 1)]);", "padding = [(1, 1)]); y = relu(z);");
    let batch = model(&graph);
    let wires = batch.wires("S", 4).unwrap();
    let names: Vec<&str> = wires.iter().map(|wire| wire.fact.name.as_str()).collect();
    assert_eq!(names, ["z", "y"]);
    assert_eq!((wires[0].layer.as_str(), &wires[0].module), ("Conv z", &None));
    let (whole, pulsed) = batch.tap("S", 4, &["z".to_string()]).unwrap();
    let input = frames(&[1.0, 5.0, 2.0, 8.0, 3.0]);
    let expected = whole.compile(ONE_THREAD).unwrap().run(vec![input.clone()]).unwrap();
    let mut stream = stream(&pulsed);
    let first = values(&stream.push(vec![input]).unwrap());
    let got = [first, values(&stream.flush().unwrap())].concat();
    assert_eq!(got, values(&[Some(expected[0].clone())]));
    assert_eq!(got[..2], [1.75, 3.25]);
    let unknown = batch.tap("S", 4, &["w".to_string()]).unwrap_err();
    assert_eq!(unknown.message, "no wire is called w");
}
