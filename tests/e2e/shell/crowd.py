"""Many connections at once: what each asks for is sent on all of them before any answer is read."""

import server


def code(message):
    """The error's word, or None."""
    return message[2]["code"] if message[2] else None


class Crowd(server.ServerTest):
    THREADS = 4

    def serve_crowd(self, size, *options):
        """A server whose loops race each other, and `size` clients that are spread over them."""
        target = self.serve(f"--threads={self.THREADS}", *options)
        return target, [self.client(target) for _ in range(size)]

    def at_once(self, clients, calls):
        """calls[i]: the calls of clients[i], each [method, params ...]. Answers the messages in the same shape."""
        for client, mine in zip(clients, calls, strict=True):
            client.send(b"".join(client.request(*call) for call in mine))
        answers = []
        for client, mine in zip(clients, calls, strict=True):
            messages = {}
            for _ in mine:
                message = client.message()
                self.assertIsNotNone(message, "the server closed the connection")
                messages[message[1]] = message
            answers.append([messages[number] for number in sorted(messages)])
        return answers
