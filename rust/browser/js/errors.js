/** What goes wrong in tract, or around it. The messages are those of the Python package. */
export class EngineError extends Error {
  get name() {
    return this.constructor.name;
  }
}

/** The archive can't be read. */
export class LoadError extends EngineError {}

/** A symbol is unknown, set already, or its value is not allowed. */
export class SymbolError extends EngineError {}

/** The model can't stream. */
export class PulseError extends EngineError {}

/** Inputs don't fit the model, or its computation failed. */
export class RunError extends EngineError {}
