// A program that uses all of the surface; what must be refused is marked.
import {
  EngineError,
  LoadError,
  Model,
  PulsedModel,
  Stream,
  Tensor,
  hasSimd,
  load,
  transforms,
} from "./engine/torchtract.js";

export async function main(bytes: Uint8Array): Promise<number> {
  const { simd, memory } = await load({ simd: hasSimd() });
  const kind: boolean = simd;
  const model: Model = Model.fromBytes(bytes);
  const names: string[] = model.inputs.map((fact) => fact.name);
  const sizes: (number | string)[] = model.outputs[0].shape;
  const pulsed: PulsedModel = model.set({ B: 1, C: "2*B" }).pulse({ S: 512 });
  const delay: number = pulsed.delay + (pulsed.outputStreams["y"]?.delay ?? 0);
  const saved: PulsedModel | undefined = model.pulsed;
  const stream: Stream = pulsed.compile().stream({ fixed: { data: new Int32Array(1), shape: [] } });
  const audio: Tensor = { data: new Float32Array(512), shape: [1, 512] };
  const { probability } = stream.push({ audio });
  const other: Stream = stream.fork();
  other.flush();
  other.reset();
  const ran: Record<string, Tensor> = model.compile().run({ audio });
  try {
    Model.fromBytes(bytes);
  } catch (error) {
    if (error instanceof LoadError && error instanceof EngineError) {
      console.log(error.message, kind, saved, ran, sizes);
    }
  }

  // @ts-expect-error: a pulse has a fixed length
  model.pulse({ S: "512" });
  // @ts-expect-error: a value is a number or an expression
  model.set({ B: [1] });
  // @ts-expect-error: chunks have names
  stream.push(new Float32Array(512));
  // @ts-expect-error: a tensor has a shape
  stream.push({ audio: { data: new Float32Array(512) } });
  // @ts-expect-error: there is no such type
  stream.push({ audio: { data: new Float32Array(1), shape: [1], dtype: "float" } });
  // @ts-expect-error: models are loaded
  new Model();

  return names.length + delay + memory.buffer.byteLength + probability.data.length + transforms().length;
}
