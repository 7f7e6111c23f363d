// Writes ONNX models: the few messages of onnx.proto that a graph of tensors needs, in the protocol buffers' wire
// format (protobuf.dev/programming-guides/encoding). Field numbers are those of github.com/onnx/onnx, onnx/onnx.proto.

const OPSET = 18;
const IR_VERSION = 8;
const TYPES = { Float32Array: 1, Uint8Array: 2, Int32Array: 6, BigInt64Array: 7 };
export const ELEMENT = { float: 1, int64: 7 };

// A message is a list of chunks: weights are never copied.

function varint(value) {
  const bytes = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

const size = (chunks) => chunks.reduce((sum, chunk) => sum + chunk.length, 0);
const integer = (field, value) => [varint(field << 3), varint(value)];
const bytes = (field, chunks) => [varint((field << 3) | 2), varint(size(chunks)), ...chunks];
const string = (field, text) => bytes(field, [Buffer.from(text)]);

function float(field, value) {
  const chunk = Buffer.alloc(4);
  chunk.writeFloatLE(value);
  return [varint((field << 3) | 5), chunk];
}

function attribute(name, value) {
  const typed = Array.isArray(value)
    ? [...value.flatMap((item) => integer(8, item)), ...integer(20, 7)]
    : typeof value === 'bigint'
      ? [...integer(3, value), ...integer(20, 2)]
      : [...float(2, value), ...integer(20, 1)];
  return [...string(1, name), ...typed];
}

function tensor(name, shape, data) {
  const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return [
    ...shape.flatMap((n) => integer(1, n)),
    ...integer(2, TYPES[data.constructor.name]),
    ...string(8, name),
    ...bytes(9, [raw]),
  ];
}

function value(name, type, shape) {
  const dimensions = shape.flatMap((n) => bytes(1, typeof n === 'string' ? string(2, n) : integer(1, n)));
  return [...string(1, name), ...bytes(2, bytes(1, [...integer(1, type), ...bytes(2, dimensions)]))];
}

/** A graph that grows node by node. Values are named by strings. */
export class Graph {
  #chunks = [];
  #count = 0;

  /**
   * @param {string} op an operator of the default domain
   * @param {string[]} inputs
   * @param {Record<string, number | bigint | number[]>} [attributes] number: a float; bigint: an integer; array:
   *   integers
   * @param {number} [outputs] how many
   * @param {string} [domain] of the operator
   * @returns {string} the output's name, or an array of them
   */
  add(op, inputs, attributes = {}, outputs = 1, domain = '') {
    const id = `${op}_${this.#count++}`;
    const names = Array.from({ length: outputs }, (_, i) => `${id}:${i}`);
    this.#chunks.push(
      ...bytes(1, [
        ...inputs.flatMap((name) => string(1, name)),
        ...names.flatMap((name) => string(2, name)),
        ...string(3, id),
        ...string(4, op),
        ...(domain ? string(7, domain) : []),
        ...Object.entries(attributes).flatMap(([name, setting]) => bytes(5, attribute(name, setting))),
      ]),
    );
    return outputs === 1 ? names[0] : names;
  }

  /** A constant: Float32Array, Uint8Array, Int32Array or BigInt64Array, row-major. An empty shape makes a scalar. */
  constant(data, shape) {
    const name = `constant_${this.#count++}`;
    this.#chunks.push(...bytes(5, tensor(name, shape, data)));
    return name;
  }

  scalar(number) {
    return this.constant(Float32Array.of(number), []);
  }

  integers(...numbers) {
    return this.constant(BigInt64Array.from(numbers, BigInt), [numbers.length]);
  }

  /** An input; `shape` may name dimensions that vary. */
  input(name, type, shape) {
    this.#chunks.push(...bytes(11, value(name, type, shape)));
    return name;
  }

  /** Makes `source` an output under `name`. */
  output(source, name, type, shape) {
    const node = [...string(1, source), ...string(2, name), ...string(3, name), ...string(4, 'Identity')];
    this.#chunks.push(...bytes(1, node), ...bytes(12, value(name, type, shape)));
  }

  /** The model's file, as chunks. */
  chunks() {
    return [
      ...integer(1, IR_VERSION),
      ...string(2, 'halfclip'),
      ...bytes(8, integer(2, OPSET)),
      ...bytes(8, [...string(1, 'com.microsoft'), ...integer(2, 1)]),
      ...bytes(7, [...string(2, 'clip'), ...this.#chunks]),
    ];
  }
}
