import random, socket, time, msgpack


class Error(Exception):
    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['message']}")
        self.code, self.details = error["code"], error


class Client:
    def __init__(self, host="127.0.0.1", port=7420, timeout=2.0):
        self.address, self.timeout, self.socket, self.msgid = (host, port), timeout, None, 0

    def connect(self):
        self.socket = socket.create_connection(self.address, self.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unpacker = msgpack.Unpacker(max_buffer_size=4 << 20, strict_map_key=False)

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def exchange(self, method, params):
        """Sends one request and waits for its reply."""
        if not self.socket:
            self.connect()
        self.msgid = (self.msgid + 1) % (1 << 32)
        self.socket.sendall(msgpack.packb([0, self.msgid, method, params]))
        while True:
            for message in self.unpacker:  # [1, msgid, error, result]; events, which begin with 2, are passed over
                if message[:2] == [1, self.msgid]:
                    if message[2] is not None:
                        raise Error(message[2])
                    return message[3]
            received = self.socket.recv(65536)
            if not received:
                raise ConnectionError("the server closed the connection")
            self.unpacker.feed(received)

    def read(self, method, *params, **options):
        """client.read("session.get", "web", "s1", fields=["data"]): what may be repeated after a lost reply."""
        for attempt in range(4):
            try:
                return self.exchange(method, [*params, options])
            except OSError:  # not Error: that is an answer
                self.close()
                if attempt == 3:
                    raise
                time.sleep(random.uniform(0, 0.05 * 2**attempt))

    def write(self, method, *params, **options):
        """For operations marked write: with an op_id a repeat is not executed twice."""
        return self.read(method, *params, op_id=random.getrandbits(53), **options)


if __name__ == "__main__":
    client = Client()
    session = client.write("session.create", "web", user="ann", data={"cart": 3})
    print(client.read("session.get", "web", session["id"], touch=True))
