"""Shell, home of lxml: bytes in, verdict out.

Reading order: `validator` (the port), `document` (bytes to a safe XML tree), `synapse` (what each
kind must declare), `builders` (what the runtime's builders demand beside that), `inside` (the
mediators it holds, whose rules are in `flow`, `content`, `conditions`, `endpoints`, beside an Apache
Synapse in `apache` too, and the names it uses: `references`; what is `plain` needs no such look), `siddhi`
(plans), `tool` (whole paths without a daemon).
"""
