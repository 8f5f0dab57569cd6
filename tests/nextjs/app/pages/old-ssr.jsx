export function getServerSideProps({ req, res }) {
  res.setHeader('Cache-Control', 'private, no-store');
  return { props: { user: req.cookies.user ?? 'anonymous' } };
}

export default function OldSsr({ user }) {
  return <p id="user">{`user:${user}`}</p>;
}
