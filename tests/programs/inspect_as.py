"""Look at a process as another user, after everything is imported, and print the JSON document."""

import json
import os
import sys

from llamactl.process import kernel  # noqa: F401
from llamactl.render.inspect import json as inspect_json  # noqa: F401 - imported while we still may
from llamactl.render.inspect.json import process_document
from llamactl.snapshot.process.snapshot import inspect_process

uid, pid = int(sys.argv[1]), int(sys.argv[2])
inspect_process(os.getpid())  # so that what is imported late is imported
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
print(json.dumps(process_document([inspect_process(pid)])))
