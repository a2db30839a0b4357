"""An NFS server in user space (Ganesha) on loopback, for one folder.

    with NfsServer(folder, behind) as server:
        server.start()
        ... mounts.nfs ...
        server.hang(); server.wake(); server.kill(); server.start()

NFS 4 over TCP only: without the kernel's server, rpcbind, Kerberos or locks. What it exports is another file
system of the same kind after a restart as before: handles stay good.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.e2e.cluster import free_ports
from tests.servers.process import Server, program

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
NFS_CORE_PARAM {{
  Protocols = 4; NFS_Port = {port}; Bind_addr = 127.0.0.1;
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
}}
NFSv4 {{
  Graceless = true; RecoveryRoot = "{folder}/recovery"; Minor_Versions = 0;
  Allow_Numeric_Owners = true; Only_Numeric_Owners = true;
}}
NFS_KRB5 {{ Active_krb5 = false; }}
EXPORT {{
  Export_Id = 1; Path = "{behind}"; Pseudo = "/share"; Protocols = 4; Transports = TCP;
  Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
  Attr_Expiration_Time = 0;
  FSAL {{ Name = VFS; }}
}}
"""


class NfsServer(Server):
    """`behind`, exported as `/share`."""

    def __init__(self, folder: Path, behind: Path) -> None:
        (folder / "recovery").mkdir(parents=True)
        self.port = free_ports(1)[0]
        config = folder / "ganesha.conf"
        config.write_text(CONFIG.format(port=self.port, folder=folder, behind=behind))
        command = [program("ganesha.nfsd"), "-F", "-f", str(config), "-L", "STDERR"]
        super().__init__([*command, "-p", str(folder / "pid")], folder)

    @property
    def url(self) -> str:
        """As libnfs wants it."""
        return f"nfs://127.0.0.1/share?version=4&nfsport={self.port}"

    def start(self) -> None:
        """Start to serve; returns when it answers."""
        super().start()
        self.wait_ready(self._answers)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return "NFS SERVER INITIALIZED" in self.log
        return False
