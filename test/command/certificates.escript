#!/usr/bin/env escript
%% Creates the files authority.pem, cert.pem and key.pem for a server at 127.0.0.1, in the current folder.
main([]) ->
    {ok, _} = application:ensure_all_started(ssl),
    Key = [{digest, sha256}, {key, {namedCurve, secp256r1}}],
    Name = {extensions, [{'Extension', {2, 5, 29, 17}, false, [{iPAddress, <<127, 0, 0, 1>>}]}]},
    Chain = #{root => Key, intermediates => [], peer => Key},
    #{server_config := Server, client_config := Client} = public_key:pkix_test_data(#{
        server_chain => Chain#{peer => [Name | Key]}, client_chain => Chain
    }),
    {Type, Der} = proplists:get_value(key, Server),
    write("cert.pem", [{'Certificate', proplists:get_value(cert, Server), not_encrypted}]),
    write("key.pem", [{Type, Der, not_encrypted}]),
    write("authority.pem", [{'Certificate', Cert, not_encrypted} || Cert <- proplists:get_value(cacerts, Client)]).

write(File, Entries) -> ok = file:write_file(File, public_key:pem_encode(Entries)).
