// On-demand revalidation as the Pages Router has it: ?path=P.
export default async function renew(request, response) {
  await response.revalidate(request.query.path);
  response.json({ renewed: request.query.path });
}
