"""Shell, home of lxml: bytes in, verdict out.

Reading order: `validator` (the port), `document` (bytes to a safe XML tree), `synapse` (what each
kind must declare), `builders` (what the runtime's builders demand beside that), `mediators` (and of
what is inside: `flow`, `content`, `conditions`, `endpoints`), `references` (the names it uses), `siddhi` (plans), `tool` (whole paths without a daemon).
"""
