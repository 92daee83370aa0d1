"""The reference: serves a WSGI script with wsgiref's server. reference.py SCRIPT [MOUNT]; prints its port."""

import importlib.machinery
import importlib.util
import io
import os
import socketserver
import sys
from wsgiref import simple_server

sys.dont_write_bytecode = True


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True
    address_family = simple_server.WSGIServer.address_family

    def server_bind(self):
        """As the base class does, without looking the host's name up."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()


def load(path):
    loader = importlib.machinery.SourceFileLoader("reference_application", path)
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module.application


def mounted(application, mount):
    """The application below a prefix, as WSGIScriptAlias would put it there, and with an end to its input,
    which wsgiref's has not."""
    def serve(environ, start_response):
        path = environ["PATH_INFO"]
        if path != mount and not path.startswith(mount + "/"):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not below the mount point\n"]
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        environ["SCRIPT_NAME"] = mount
        environ["PATH_INFO"] = path[len(mount):]
        return application(environ, start_response)
    return serve


def main():
    script, mount = sys.argv[1], (sys.argv + [""])[2]
    os.chdir("/")
    server = Server(("127.0.0.1", 0), simple_server.WSGIRequestHandler)
    server.set_app(mounted(load(script), mount))
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
