"""What stands in front of MLflow in companies: TLS by a certificate authority of their own, and a password or a token.

guard.py UPSTREAM DIR AUTHORIZATION forwards what carries that Authorization header to http://UPSTREAM, and answers
everything else with 401. It prints {"url", "ca"}, and ends when stdin does.
"""

import datetime
import http.client
import http.server
import ipaddress
import json
import ssl
import sys
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

upstream, folder, authorization = sys.argv[1], Path(sys.argv[2]), sys.argv[3]


def name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def certificate(subject, key, issuer, issuer_key, *extensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def pem(*things):
    text = b""
    for thing in things:
        if isinstance(thing, x509.Certificate):
            text += thing.public_bytes(serialization.Encoding.PEM)
        else:
            form = serialization.PrivateFormat.PKCS8
            text += thing.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return text


authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
authority = certificate(
    "test authority", authority_key, "test authority", authority_key, x509.BasicConstraints(ca=True, path_length=None)
)
addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
server = certificate("mlflow", server_key, "test authority", authority_key, addresses)
(folder / "ca.pem").write_bytes(pem(authority))
(folder / "server.pem").write_bytes(pem(server_key, server))


class Guard(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("authorization") != authorization:
            return self.answer(401, b"who are you?")
        connection = http.client.HTTPConnection(upstream)
        headers = {"content-type": "application/json"} if body else {}
        connection.request(self.command, self.path, body=body, headers=headers)
        answer = connection.getresponse()
        self.answer(answer.status, answer.read())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = forward

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "server.pem")
listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guard)
# Clients that are killed in mid-request are what the tests do.
listener.handle_error = lambda *_: None
listener.socket = context.wrap_socket(listener.socket, server_side=True)
threading.Thread(target=listener.serve_forever, daemon=True).start()
print(json.dumps({"url": f"https://127.0.0.1:{listener.server_port}", "ca": str(folder / "ca.pem")}), flush=True)
sys.stdin.read()
