// A client on the AWS SDK for JavaScript for `lab clients`: one process that asks AWS who it is, twice a second, and prints a
// line for each answer.
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const client = new STSClient({});
for (;;) {
  try {
    console.log("ok", (await client.send(new GetCallerIdentityCommand({}))).Arn);
  } catch (error) {
    console.log("failed", error.name, String(error.message).replace(/\s+/g, " "));
  }
  await new Promise((done) => setTimeout(done, 500));
}
