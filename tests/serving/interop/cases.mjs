// gRPC's official interoperability cases, asked by grpc-js: node cases.mjs ADDRESS PROTO CASE...
// Prints the name of each case that holds.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";

const require = createRequire(process.env.NODE_CLIENTS);
const grpc = require("@grpc/grpc-js");
const { loadSync } = require("@grpc/proto-loader");

const [address, proto, ...wanted] = process.argv.slice(2);
const SIZES = [31415, 9, 2653, 58979];
const REQUEST_SIZES = [27182, 8, 1828, 45904];
const SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
const INITIAL = "x-grpc-test-echo-initial";
const TRAILING = "x-grpc-test-echo-trailing-bin";

const testing = grpc.loadPackageDefinition(loadSync(proto)).grpc.testing;
const stub = new testing.TestService(address, grpc.credentials.createInsecure());
const other = new testing.UnimplementedService(address, grpc.credentials.createInsecure());

const within = (seconds) => ({ deadline: Date.now() + seconds * 1000 });
const payload = (size) => ({ body: Buffer.alloc(size) });
const large = { responseSize: 314159, payload: payload(271828) };
const sizeOf = (answer) => answer.payload.body.length;
const asking = (size, body = 0, intervalUs = 0) => ({
  responseParameters: [{ size, intervalUs }],
  payload: payload(body),
});

// A unary call: its answer and both kinds of metadata; rejected with grpc-js's error.
function unary(client, method, request, metadata = new grpc.Metadata(), options = within(30)) {
  return new Promise((resolve, reject) => {
    const found = {};
    const call = client[method](request, metadata, options, (error, answer) => {
      found.answer = answer;
      if (error) reject(error);
    });
    call.on("metadata", (initial) => (found.initial = initial));
    call.on("status", (status) => {
      found.trailing = status.metadata;
      if (status.code === grpc.status.OK) resolve(found);
    });
  });
}

async function all(call) {
  const answers = [];
  for await (const answer of call) answers.push(answer);
  return answers;
}

async function failure(promise) {
  const error = await promise.then(() => assert.fail("the call succeeded"), (error) => error);
  return [error.code, error.details];
}

const cases = {
  async empty_unary() {
    assert.deepEqual((await unary(stub, "emptyCall", {})).answer, {});
  },
  async large_unary() {
    assert.equal(sizeOf((await unary(stub, "unaryCall", large)).answer), 314159);
  },
  async client_streaming() {
    const answer = new Promise((resolve, reject) => {
      const call = stub.streamingInputCall(within(30), (error, found) => (error ? reject(error) : resolve(found)));
      REQUEST_SIZES.forEach((size) => call.write({ payload: payload(size) }));
      call.end();
    });
    assert.equal((await answer).aggregatedPayloadSize, 74922);
  },
  async server_streaming() {
    const request = { responseParameters: SIZES.map((size) => ({ size })) };
    assert.deepEqual((await all(stub.streamingOutputCall(request, within(30)))).map(sizeOf), SIZES);
  },
  async ping_pong() {
    const call = stub.fullDuplexCall(within(30));
    const answers = call[Symbol.asyncIterator]();
    for (const [index, size] of SIZES.entries()) {
      call.write(asking(size, REQUEST_SIZES[index]));
      assert.equal(sizeOf((await answers.next()).value), size);
    }
    call.end();
    assert.equal((await answers.next()).done, true);
  },
  async empty_stream() {
    const call = stub.fullDuplexCall(within(30));
    call.end();
    assert.deepEqual(await all(call), []);
  },
  async cancel_after_begin() {
    const error = new Promise((resolve) => {
      const call = stub.streamingInputCall(within(30), resolve);
      call.cancel();
    });
    assert.equal((await error).code, grpc.status.CANCELLED);
  },
  async cancel_after_first_response() {
    const call = stub.fullDuplexCall(within(30));
    call.write(asking(31415, 27182));
    const [answer] = await once(call, "data");
    assert.equal(sizeOf(answer), 31415);
    const ended = once(call, "error");
    call.cancel();
    assert.equal((await ended)[0].code, grpc.status.CANCELLED);
  },
  async timeout_on_sleeping_server() {
    const call = stub.fullDuplexCall(within(0.001));
    call.write(asking(31415, 27182, 100_000));
    assert.equal((await failure(all(call)))[0], grpc.status.DEADLINE_EXCEEDED);
  },
  async status_code_and_message(message = "test status message") {
    const responseStatus = { code: 2, message };
    const request = { responseSize: 1, payload: payload(1), responseStatus };
    assert.deepEqual(await failure(unary(stub, "unaryCall", request)), [2, message]);
    const call = stub.fullDuplexCall(within(30));
    call.write({ ...asking(1, 1), responseStatus });
    call.end();
    assert.deepEqual(await failure(all(call)), [2, message]);
  },
  async special_status_message() {
    await cases.status_code_and_message(SPECIAL);
  },
  async unimplemented_method() {
    assert.equal((await failure(unary(stub, "unimplementedCall", {})))[0], grpc.status.UNIMPLEMENTED);
  },
  async unimplemented_service() {
    assert.equal((await failure(unary(other, "unimplementedCall", {})))[0], grpc.status.UNIMPLEMENTED);
  },
  async custom_metadata() {
    const metadata = new grpc.Metadata();
    metadata.set(INITIAL, "test_initial_metadata_value");
    metadata.set(TRAILING, Buffer.from([0xab, 0xab, 0xab]));
    const echoed = ({ initial, trailing }) => {
      assert.deepEqual(initial.get(INITIAL), ["test_initial_metadata_value"]);
      assert.deepEqual(trailing.get(TRAILING), [Buffer.from([0xab, 0xab, 0xab])]);
    };
    echoed(await unary(stub, "unaryCall", large, metadata));
    const call = stub.fullDuplexCall(metadata, within(30));
    const initial = once(call, "metadata");
    const status = once(call, "status");
    call.write(asking(314159, 271828));
    call.end();
    assert.deepEqual((await all(call)).map(sizeOf), [314159]);
    echoed({ initial: (await initial)[0], trailing: (await status)[0].metadata });
  },
};

for (const name of wanted) {
  await cases[name]();
  console.log(name);
}
stub.close();
other.close();
// Otherwise Node waits for the deadlines of the calls that were cancelled.
process.exit();
